"""Messages by e-mail: composed in the language of whom they are for, kept until they are sent, sent by SMTP."""

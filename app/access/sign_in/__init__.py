"""Sign-in: passwords, second factors, invitations, and what slows down those who guess."""

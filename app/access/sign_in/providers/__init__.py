"""Sign-in providers: services that tell who somebody is (OpenID Connect), and what their claims are worth here."""

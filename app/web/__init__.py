"""HTTP faces: parse the request, authorise, call a service, write the answer."""

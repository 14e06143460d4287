"""A sign-in provider that says what a test has it say, true or false: for faults that no genuine one has."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import orjson
from joserfc import jwt
from joserfc.jwk import RSAKey

SECRET = "a secret of the client"
# As the documents of ProConnect and EduConnect have them; those of EduConnect by their names without the OID.
AGENT = {
    "sub": "b8c2f1a7-agent",
    "idp_id": "71144ab3-ee1a-4401-b7b3-79b44f7daeeb",
    "given_name": "Camille",
    "usual_name": "Exemple",
    "email": "camille.exemple@ac-port-clair.example",
    "uid": "1234",
    "siret": "11004301500012",
}
HEAD = {**AGENT, "sub": "head", "FrEduRneResp": ["0380001V"], "title": "DIR"}
PUPIL = {
    "sub": "0a1b2c-eleve",
    "given_name": "Noé",
    "family_name": "Exemple",
    "FrEduCtPersonAffiliation": "eleve2d",
    "FrEduCtEleveUAI": "0380001V",
    "FrEduCtEleveNiveau": "2212",
    "FrEduCtEleveINEHash": "9f86d081884c7d659a2feaa0c55ad015",
}
GUARDIAN = {
    "sub": "3d4e5f-resp",
    "given_name": "Alix",
    "family_name": "Exemple",
    "FrEduCtPersonAffiliation": "resp2d",
}


class Provider:
    """A provider on a port of this host.

    Attributes:
        person: The claims of whoever signs in.
        id_claims: What the next ID tokens say instead; None of a value: nothing.
        userinfo: As a signed JWT, or as JSON.
        algorithm: Of signatures; ``none``: none at all.
        key: Signs; another than the published one where a test says so.
        slow: Seconds before each answer.
        nonsense: Answered by every address, where it is not None.
        asked: Parameters of the last authorisation request.
        requests: Paths that were asked for.
    """

    def __init__(self) -> None:
        self.published = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.key = self.published
        self.person: Mapping[str, Any] = AGENT
        self.id_claims: Mapping[str, Any] = {}
        self.userinfo_claims: Mapping[str, Any] = {}
        self.userinfo_as_jwt = True
        self.algorithm = "RS256"
        self.discovered: Mapping[str, Any] = {}
        self.slow = 0.0
        self.nonsense: bytes | None = None
        self.asked: dict[str, str] = {}
        self.requests: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def authorise(self, url: str) -> str:
        """Path and query that a browser comes back with, after somebody has said who they are."""
        self.asked = dict(parse_qsl(urlsplit(url).query))
        code = hashlib.sha256(f"{self.asked['state']}{len(self._codes)}".encode()).hexdigest()
        self._codes[code] = self.asked
        back = urlsplit(self.asked["redirect_uri"])
        return f"{back.path}?code={code}&state={self.asked['state']}"

    @contextmanager
    def serving(self) -> Iterator[Provider]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def signed(self, claims: Mapping[str, Any]) -> str:
        """A token of claims."""
        if self.algorithm in {"none", "HS256"}:
            parts = [orjson.dumps({"alg": self.algorithm}), orjson.dumps(dict(claims))]
            text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
            # Signed with what everybody has: the public key, as text.
            public = self.published.as_pem(private=False)
            mac = b"" if self.algorithm == "none" else hmac.digest(public, text, "sha256")
            return b".".join((text, base64.urlsafe_b64encode(mac).rstrip(b"="))).decode()
        return jwt.encode({"alg": self.algorithm, "kid": self.key.kid}, dict(claims), self.key)

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
            "end_session_endpoint": f"{self.url}/session/end",
            **self.discovered,
        }

    def _tokens(self, form: Mapping[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        secret = form.get("client_secret") or base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if (
            asked is None
            or challenge.decode().rstrip("=") != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
            or SECRET.split()[-1] not in secret
        ):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": asked["client_id"],
            "iat": now,
            "exp": now + 60,
            "nonce": asked["nonce"],
            "sub": self.person["sub"],
            "acr": "eidas1",
            "amr": ["pwd", "mfa"],
            **self.id_claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return 200, {"access_token": "token", "token_type": "Bearer", "id_token": self.signed(claims)}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
                time.sleep(provider.slow)
                body = content if provider.nonsense is None else provider.nonsense
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                provider.requests.append(self.path)
                if self.path == "/.well-known/openid-configuration":
                    self._answer(200, orjson.dumps(provider._discovery()))
                elif self.path.startswith("/authorize?"):
                    # Whoever comes has said yes before.
                    site = urlsplit(dict(parse_qsl(urlsplit(self.path).query))["redirect_uri"])
                    self.send_response(303)
                    back = provider.authorise(provider.url + self.path)
                    self.send_header("Location", f"{site.scheme}://{site.netloc}{back}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif self.path == "/jwks":
                    key = provider.published.as_dict(private=False)
                    self._answer(200, orjson.dumps({"keys": [key]}))
                elif self.path == "/userinfo":
                    claims = {**provider.person, **provider.userinfo_claims}
                    if provider.userinfo_as_jwt:
                        token = provider.signed({"iss": provider.url, "aud": "sillage", **claims})
                        self._answer(200, token.encode(), "application/jwt")
                    else:
                        self._answer(200, orjson.dumps(claims))
                else:
                    self._answer(404, b"{}")

            def do_POST(self) -> None:
                provider.requests.append(self.path)
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(text).items()}
                status, made = provider._tokens(form, self.headers.get("Authorization", ""))
                self._answer(status, orjson.dumps(made))

        return Handler

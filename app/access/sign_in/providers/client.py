"""One sign-in provider: where it is, what it signs with, what it says of somebody (OpenID Connect Core 1.0)."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import orjson
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.access.sign_in.providers.fetching import fetch
from app.access.sign_in.providers.files import ProviderFile, is_safe
from app.core import clock
from app.core.clock import Now
from app.core.errors import ProviderRefused, ProviderUnavailable

KEPT_SECONDS: Final = 3_600.0
"""Seconds for which discovery and keys are used."""
RETRY_SECONDS: Final = 5.0
"""Seconds until a provider that failed is asked again; whoever comes meanwhile is told at once."""
NEW_KEYS_SECONDS: Final = 60.0
"""Seconds until keys are asked for again because a token names one that is not known."""
AT_ONCE: Final = 2
"""Threads of one worker that wait for one provider: the others go on serving."""
LEEWAY_SECONDS: Final = 60
MAX_AGE_SECONDS: Final = 600
"""Age of an ID token from which it is no answer to what was asked."""

Claims = Mapping[str, Any]
# Of tokens that others wrote: whatever is wrong with one, it does not hold.
_BAD: Final = (JoseError, TypeError, ValueError, AttributeError, KeyError, RecursionError, OverflowError)


class Discovered(NamedTuple):
    """A provider as its discovery document has it."""

    authorization: str
    token: str
    userinfo: str | None
    end_session: str | None
    keys: KeySet
    until: float
    asked: float


class ProviderClient:
    """Asks one provider. Safe to share between threads."""

    def __init__(self, file: ProviderFile, redirect_uri: str, now: Now) -> None:
        self.file = file
        self._redirect_uri = redirect_uri
        self._now = now
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._discovering = threading.Lock()
        self._known: Discovered | None = None
        self._failed = -RETRY_SECONDS

    def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """The address where somebody says who they are; no parameter that was not asked for.

        Raises:
            ProviderUnavailable: the provider is away.
        """
        file = self.file
        parameters = {
            "response_type": "code",
            "client_id": file.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(file.scopes),
            "state": state,
            "nonce": nonce,
        }
        if file.pkce:
            parameters |= {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
        if file.acr_values:
            parameters["acr_values"] = " ".join(file.acr_values)
        if file.amr:
            parameters["claims"] = '{"id_token":{"amr":{"essential":true}}}'
        with self._turn():
            address = self._discovered().authorization
        return f"{address}{'&' if '?' in address else '?'}{urlencode(parameters)}"

    def end_session_url(self, hint: str | None, *, back: str, state: str) -> str | None:
        """The address where somebody signs out of the provider too (RP-Initiated Logout 1.0); None: there is none.

        Args:
            hint: The ID token that they came with; None where it is not known any more.
            back: Where the provider is to lead them afterwards.
            state: Comes back with them.
        """
        try:
            with self._turn():
                address = self._discovered().end_session
        except ProviderUnavailable:
            return None
        if self.file.logout != "provider" or address is None:
            return None
        parameters = {"id_token_hint": hint} if hint else {"client_id": self.file.client_id}
        parameters |= {"post_logout_redirect_uri": back, "state": state}
        return f"{address}{'&' if '?' in address else '?'}{urlencode(parameters)}"

    def claims(self, *, code: str, nonce: str, verifier: str) -> tuple[Claims, str]:
        """The claims of whoever a code stands for, and the ID token.

        Raises:
            ProviderRefused: the provider refuses the code, or what it says does not hold.
            ProviderUnavailable: it is away, or answers nonsense.
        """
        with self._turn():
            discovered = self._discovered()
            answer = self._tokens(discovered, code, verifier)
            access_token = answer.get("access_token")
            claims = dict(self._id_token(discovered, answer.get("id_token"), nonce, access_token))
            if self.file.userinfo != "none":
                more = self._userinfo(discovered, access_token)
                # OpenID Connect Core 5.3.2: what is of another subject must not be used.
                if more.get("sub") != claims["sub"]:
                    raise _refused("userinfo of another subject")
                # What the ID token says of the sign-in stands.
                claims = {**more, **claims}
        return claims, str(answer["id_token"])

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(blocking=False):
            raise ProviderUnavailable("Others wait for the sign-in provider already.", retry_after=5)
        try:
            yield
        finally:
            self._turns.release()

    # --- where it is, and what it signs with ----------------------------------------------------------

    def _discovered(self) -> Discovered:
        with self._discovering:
            known, now = self._known, clock.steady()
            if known is not None and now < known.until:
                return known
            if now - self._failed < RETRY_SECONDS:
                raise ProviderUnavailable("The sign-in provider did not answer a moment ago.", retry_after=5)
            return self._discover()

    def _discover(self) -> Discovered:
        try:
            found = _object(fetch(f"{self.file.issuer.rstrip('/')}/.well-known/openid-configuration").body)
            addresses = [found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
            if found.get("issuer") != self.file.issuer or not all(
                isinstance(each, str) and is_safe(each) for each in addresses
            ):
                raise ProviderUnavailable("The sign-in provider's discovery document is not its own, or not safe.")
            userinfo, end_session = found.get("userinfo_endpoint"), found.get("end_session_endpoint")
            known = Discovered(
                str(addresses[0]),
                str(addresses[1]),
                userinfo if isinstance(userinfo, str) and is_safe(userinfo) else None,
                end_session if isinstance(end_session, str) and is_safe(end_session) else None,
                self._keys(str(addresses[2])),
                clock.steady() + KEPT_SECONDS,
                clock.steady(),
            )
        except ProviderUnavailable:
            self._failed = clock.steady()
            raise
        self._known = known
        return known

    def _keys(self, address: str) -> KeySet:
        document = _object(fetch(address).body)
        try:
            keys = document["keys"]
            # Public keys of signatures alone: a symmetric key would make whoever reads the set a signer.
            kept = [key for key in keys if key.get("kty") in {"RSA", "EC"} and key.get("use", "sig") == "sig"]
            return KeySet.import_key_set({"keys": kept})
        except (KeyError, TypeError, ValueError, AttributeError, JoseError):
            raise ProviderUnavailable("The sign-in provider's keys cannot be read.") from None

    def _with_new_keys(self, discovered: Discovered) -> Discovered:
        """Discovery anew, where the keys may have changed since; the same where they were just asked for."""
        with self._discovering:
            if self._known is not discovered and self._known is not None:
                return self._known
            if clock.steady() - discovered.asked < NEW_KEYS_SECONDS:
                return discovered
            return self._discover()

    # --- what it says -------------------------------------------------------------------------------

    def _tokens(self, discovered: Discovered, code: str, verifier: str) -> Claims:
        file = self.file
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect_uri}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if file.pkce:
            form["code_verifier"] = verifier
        if file.client_auth == "post":
            form |= {"client_id": file.client_id, "client_secret": file.secret}
        else:
            # RFC 6749 2.3.1: both are encoded first.
            pair = f"{quote(file.client_id, safe='')}:{quote(file.secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = fetch(discovered.token, form=urlencode(form).encode(), headers=headers)
        if answer.status in (400, 401, 403):
            raise _refused("code refused")
        if answer.status != 200:
            raise ProviderUnavailable("The sign-in provider gives no token.")
        return _object(answer.body)

    def _id_token(self, discovered: Discovered, token: object, nonce: str, access_token: object) -> Claims:
        header, claims = self._signed(discovered, token)
        checked = CodeIDToken(
            claims,
            header,
            {"iss": {"essential": True, "value": self.file.issuer}},
            {"nonce": nonce, "client_id": self.file.client_id, "access_token": access_token},
        )
        now = round(self._now().timestamp())
        try:
            checked.validate(now=now, leeway=LEEWAY_SECONDS)
        except _BAD:
            raise _refused("ID token that does not hold") from None
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if self.file.client_id not in audience or not isinstance(claims["sub"], str) or not claims["sub"]:
            raise _refused("ID token for another client")
        if not isinstance(claims["iat"], int | float) or now - claims["iat"] > MAX_AGE_SECONDS:
            raise _refused("ID token of long ago")
        if self.file.acr_values and claims.get("acr") not in self.file.acr_values:
            raise _refused("sign-in that is too weak (acr)")
        if self.file.amr and not set(self.file.amr) & set(texts(claims.get("amr"))):
            raise _refused("sign-in that is too weak (amr)")
        return claims

    def _userinfo(self, discovered: Discovered, access_token: object) -> Claims:
        if discovered.userinfo is None or not isinstance(access_token, str) or not access_token.isprintable():
            raise ProviderUnavailable("The sign-in provider gives no userinfo.")
        wanted = "application/jwt" if self.file.userinfo == "jwt" else "application/json"
        headers = {"Authorization": f"Bearer {access_token}", "Accept": wanted}
        answer = fetch(discovered.userinfo, headers=headers)
        if answer.status != 200 or answer.type != wanted:
            raise ProviderUnavailable("The sign-in provider gives no userinfo of the kind that its file says.")
        if self.file.userinfo == "json":
            return _object(answer.body)
        _, claims = self._signed(discovered, answer.body.decode("ascii", "replace"))
        audience = claims.get("aud", self.file.client_id)
        audience = audience if isinstance(audience, list) else [audience]
        # OpenID Connect Core 5.3.2: signed, it says by whom and for whom.
        if claims.get("iss") != self.file.issuer or self.file.client_id not in audience:
            raise _refused("userinfo of another provider, or for another client")
        return claims

    def _signed(self, discovered: Discovered, token: object) -> tuple[dict[str, Any], dict[str, Any]]:
        if not isinstance(token, str):
            raise ProviderUnavailable("The sign-in provider gives no token.")
        for last in (False, True):
            try:
                decoded = jwt.decode(token, discovered.keys, algorithms=list(self.file.algorithms))
            except _BAD:
                again = discovered if last else self._with_new_keys(discovered)
                if again is discovered:
                    break
                discovered = again
            else:
                return dict(decoded.header), dict(decoded.claims)
        raise _refused("token whose signature does not hold")


def texts(value: Any) -> list[str]:
    """The texts of a claim, which is a text or an array of texts."""
    several = value if isinstance(value, list) else [value]
    return [each.strip() for each in several if isinstance(each, str) and each.strip()]


def _object(body: bytes) -> Claims:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProviderUnavailable("The sign-in provider answers something that is no JSON object.")
    return found


def _refused(what: str) -> ProviderRefused:
    return ProviderRefused(f"The sign-in provider's answer does not hold: {what}. Begin once more.")

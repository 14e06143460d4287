"""The page of an error, for people: what happened, what to do, and what to quote to those who run the service.

HTML without script and without anything from elsewhere, in French or in English. Everything that varies is escaped.
It is made without Flask and without a template engine, since refusing must cost far less than serving.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from typing import Final, NamedTuple

from app.core.errors import SillageError

_STYLE: Final = """
:root{color-scheme:light dark;--paper:#f6f5f0;--surface:#fff;--ink:#12263a;--muted:#4a5b6b;--line:#d6dbd8;
--mark:#0b675f}
@media (prefers-color-scheme:dark){
:root{--paper:#0a1622;--surface:#12212f;--ink:#e6edf2;--muted:#a6b7c5;--line:#2a3e50;--mark:#62cdba}
}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;background:var(--paper);color:var(--ink);overflow-wrap:break-word;
font:1.125rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",Ubuntu,Arial,sans-serif}
header{background:#0b2540;color:#fff;font-size:1.25rem;font-weight:700;letter-spacing:-.01em}
header p,main{max-width:44rem;margin:0 auto;padding:1rem clamp(1rem,4vw,2rem)}
main{padding-block:clamp(1.5rem,6vw,4rem)}
.said{margin:0 0 2.5rem;padding-inline-start:1.25rem;border-inline-start:.375rem solid var(--mark)}
h1{margin:0 0 .75rem;font-size:clamp(1.625rem,1.25rem + 1.7vw,2.125rem);
line-height:1.22;letter-spacing:-.018em;text-wrap:balance}
.said p{margin:0;font-size:1.25rem;line-height:1.5;text-wrap:pretty}
section{padding:1.25rem 1.5rem;border:1px solid var(--line);border-radius:.375rem;background:var(--surface);
font-size:1rem;line-height:1.5}
h2{margin:0 0 .75rem;font-size:1.0625rem;line-height:1.3}
dl{margin:0;display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.5rem 1.5rem}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
dd:first-of-type code{white-space:nowrap}
code{font:.9375em ui-monospace,"Cascadia Mono",Consolas,Menlo,"DejaVu Sans Mono",monospace}
@media (max-width:34rem){dl{display:block}dd{margin:0 0 .75rem}dd:last-child{margin:0}section{padding:1rem}}
@media print{header{background:none;color:inherit}}
"""

# As details and docstrings have it.
_QUOTED: Final = re.compile("`([^`]+)`")

_PAGE: Final = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>{heading} – {first} – Sillage</title>
<style>{style}</style>
</head>
<body>
<header><p>Sillage</p></header>
<main>
<div class="said">
<h1>{heading}</h1>
<p>{first}. {then}</p>
</div>
<section aria-labelledby="reference">
<h2 id="reference">{words.reference}</h2>
<dl>
<dt>{words.error}</dt><dd>{title} (<code>{code}</code>, {status})</dd>
<dt>{words.message}</dt><dd lang="en">{detail}</dd>
<dt>{words.request}</dt><dd><code>{request_id}</code></dd>
</dl>
</section>
</main>
</body>
</html>
"""

HEADERS: Final = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    # The address may name somebody in its query.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of the answer: the page may run nothing, load nothing, send nothing, and be in no other page."""


class _Words(NamedTuple):
    reference: str
    error: str
    message: str
    request: str


class _Said(NamedTuple):
    """Text of an error page: what happened; what to do, in a sentence without its full stop; and then."""

    heading: str
    first: str
    then: str


_WORDS: Final = {
    "en": _Words("To quote if you ask for help", "Error", "Message", "Reference"),
    "fr": _Words("À transmettre si vous demandez de l’aide", "Erreur", "Message (en anglais)", "Référence"),
}

_AGAIN_EN: Final = "If it happens again, quote the reference below to the team that runs this service."
_AGAIN_FR: Final = "Si cela se reproduit, transmettez la référence donnée plus bas à l’équipe qui gère ce service."

_SAID: Final[dict[int, dict[str, _Said]]] = {
    400: {
        "en": _Said("This request was not understood", "Go back, check what you entered, and try again", _AGAIN_EN),
        "fr": _Said(
            "Cette demande n’a pas été comprise",
            "Revenez en arrière, vérifiez votre saisie, puis réessayez",
            _AGAIN_FR,
        ),
    },
    401: {
        "en": _Said(
            "You need to identify yourself",
            "Enter your user name and your password",
            "If you have none, ask the team that runs this service.",
        ),
        "fr": _Said(
            "Vous devez vous identifier",
            "Saisissez votre identifiant et votre mot de passe",
            "Si vous n’en avez pas, adressez-vous à l’équipe qui gère ce service.",
        ),
    },
    403: {
        "en": _Said(
            "You do not have access to this page",
            "If you think that you should, ask the team that runs this service",
            "Quote the reference below.",
        ),
        "fr": _Said(
            "Vous n’avez pas accès à cette page",
            "Si vous pensez que vous le devriez, adressez-vous à l’équipe qui gère ce service",
            "Transmettez-lui la référence donnée plus bas.",
        ),
    },
    404: {
        "en": _Said(
            "There is nothing at this address",
            "Check the address",
            "If you followed a link, tell whoever gave it to you.",
        ),
        "fr": _Said(
            "Il n’y a rien à cette adresse",
            "Vérifiez l’adresse",
            "Si vous avez suivi un lien, prévenez la personne qui vous l’a donné.",
        ),
    },
    405: {
        "en": _Said("This cannot be done at this address", "Go back and start again from the page before", _AGAIN_EN),
        "fr": _Said(
            "Cette action n’est pas possible à cette adresse",
            "Revenez en arrière et reprenez depuis la page précédente",
            _AGAIN_FR,
        ),
    },
    408: {
        "en": _Said("Your request took too long to arrive", "Check your connection, then send it again", _AGAIN_EN),
        "fr": _Said(
            "Votre demande a mis trop de temps à arriver",
            "Vérifiez votre connexion, puis envoyez-la de nouveau",
            _AGAIN_FR,
        ),
    },
    409: {
        "en": _Said(
            "This cannot be done as things stand",
            "Go back, load the page again, and see what has changed",
            "Somebody else may have done something meanwhile.",
        ),
        "fr": _Said(
            "Cette action n’est plus possible en l’état",
            "Revenez en arrière, rechargez la page et voyez ce qui a changé",
            "Quelqu’un d’autre a pu intervenir entre-temps.",
        ),
    },
    413: {
        "en": _Said("What you sent is too large", "Send a smaller file, or several", "Nothing of it was kept."),
        "fr": _Said(
            "Votre envoi est trop volumineux",
            "Envoyez un fichier plus petit, ou plusieurs",
            "Rien n’en a été conservé.",
        ),
    },
    414: {
        "en": _Said("The address is too long", "Ask for less at once", _AGAIN_EN),
        "fr": _Said("L’adresse est trop longue", "Demandez moins de choses à la fois", _AGAIN_FR),
    },
    429: {
        "en": _Said("Too much was asked at once", "Wait a few seconds, then try again", "Your request was not read."),
        "fr": _Said(
            "Trop de demandes à la fois",
            "Patientez quelques secondes, puis réessayez",
            "Votre demande n’a pas été lue.",
        ),
    },
    500: {
        "en": _Said("Something went wrong on our side", "Try again in a few minutes", _AGAIN_EN),
        "fr": _Said("Une erreur s’est produite de notre côté", "Réessayez dans quelques minutes", _AGAIN_FR),
    },
    503: {
        "en": _Said("The service is not available for the moment", "Try again in a few minutes", _AGAIN_EN),
        "fr": _Said(
            "Le service est momentanément indisponible",
            "Réessayez dans quelques minutes",
            _AGAIN_FR,
        ),
    },
}
_SAID[412] = _SAID[409]


def page(error: SillageError, *, french: bool, request_id: str) -> bytes:
    """The page, UTF-8."""
    language = "fr" if french else "en"
    said = _SAID.get(error.status, _SAID[400])[language]
    return _PAGE.format(
        language=language,
        style=_STYLE,
        words=_WORDS[language],
        heading=said.heading,
        first=said.first,
        then=said.then,
        title=escape(error.title_fr if french else error.title),
        code=escape(error.code),
        status=error.status,
        detail=_QUOTED.sub(r"<code>\1</code>", escape(error.detail)),
        request_id=escape(request_id),
    ).encode("utf-8", "replace")

"""Verbs of xAPI in plain words, as a family reads what a learner did; of others the statement's own words are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_ADL: Final = "http://adlnet.gov/expapi/verbs/"
_VIDEO: Final = "https://w3id.org/xapi/video/verbs/"
_OURS: Final = "https://w3id.org/sillage/verbs/"
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    f"{_ADL}answered": ("a répondu", "answered"),
    f"{_ADL}asked": ("a posé une question", "asked a question"),
    f"{_ADL}attempted": ("a essayé", "tried"),
    f"{_ADL}attended": ("a suivi", "attended"),
    f"{_ADL}commented": ("a commenté", "commented"),
    f"{_ADL}completed": ("a terminé", "finished"),
    f"{_ADL}exited": ("a quitté", "left"),
    f"{_ADL}experienced": ("a consulté", "looked at"),
    f"{_ADL}failed": ("n’a pas réussi", "did not succeed"),
    f"{_ADL}initialized": ("a ouvert", "opened"),
    f"{_ADL}interacted": ("a utilisé", "used"),
    f"{_ADL}launched": ("a lancé", "started"),
    f"{_ADL}mastered": ("a acquis", "mastered"),
    f"{_ADL}passed": ("a réussi", "passed"),
    f"{_ADL}progressed": ("a avancé", "went on"),
    f"{_ADL}responded": ("a répondu", "answered"),
    f"{_ADL}resumed": ("a repris", "went on with"),
    f"{_ADL}scored": ("a obtenu un score", "scored"),
    f"{_ADL}shared": ("a partagé", "shared"),
    f"{_ADL}suspended": ("a mis en pause", "paused"),
    f"{_ADL}terminated": ("a fermé", "closed"),
    "http://activitystrea.ms/schema/1.0/access": ("a ouvert", "opened"),
    "http://activitystrea.ms/schema/1.0/create": ("a créé", "created"),
    "http://activitystrea.ms/schema/1.0/submit": ("a rendu", "handed in"),
    "http://id.tincanapi.com/verb/viewed": ("a consulté", "looked at"),
    "https://w3id.org/xapi/adl/verbs/logged-in": ("connexion", "signed in"),
    "https://w3id.org/xapi/adl/verbs/logged-out": ("déconnexion", "signed out"),
    f"{_VIDEO}played": ("a lancé la vidéo", "played the video"),
    f"{_VIDEO}paused": ("a mis la vidéo en pause", "paused the video"),
    f"{_VIDEO}seeked": ("a avancé ou reculé dans la vidéo", "moved within the video"),
    f"{_OURS}accepted-recommendation": ("a suivi une proposition de l’outil", "followed a suggestion of the tool"),
    f"{_OURS}changed-level": ("a changé de niveau", "changed level"),
    f"{_OURS}mastery-estimated": ("l’outil a estimé ce qui est acquis", "the tool estimated what is mastered"),
    f"{_OURS}received-feedback": ("a reçu un retour", "received feedback"),
    f"{_OURS}refused-recommendation": ("a refusé une proposition de l’outil", "refused a suggestion of the tool"),
    f"{_OURS}requested-hint": ("a demandé un indice", "asked for a hint"),
    f"{_OURS}was-recommended": ("l’outil a proposé", "the tool suggested"),
}


def in_plain_words(verb: Mapping[str, Any]) -> Mapping[str, Any]:
    """A verb whose words are plain ones; the same where it is not among the common ones."""
    words = _WORDS.get(verb["id"])
    return verb if words is None else {"id": verb["id"], "display": {"fr": words[0], "en": words[1]}}

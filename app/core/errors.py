"""Every error of Sillage, in one tree.

An error is part of the interface. Each class has a stable ``code`` (documented in ``docs/errors.md``),
the HTTP status it becomes, a title in English and in French, and each instance a sentence that a person
can act on. None carries a secret or personal data: a detail names places (JSON pointers), rules and
sections of a standard, never the values found there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, TypeAlias

MOST_POINTER = 2_000
"""Of characters in a JSON pointer, and ``MOST_KEY`` of a key in it: senders choose the keys."""
MOST_KEY = 200
_HEAD, _TAIL = 150, 40

Place: TypeAlias = "tuple[Place, str | int] | None"
"""A place in a JSON document: the place of what it is in, and its key or position there; the root is None.

Places that have their beginning in common share it: one costs a tuple, where a pointer costs all the keys above it.
"""


def pointer(tokens: Iterable[str | int], root: str = "") -> str:
    """The JSON pointer (RFC 6901) of keys and positions, from the root on.

    What is long is cut, and has a "…" where something is missing: of a long key the middle, of a long pointer keys
    between the first and the last ones.

    Args:
        tokens: Keys and positions.
        root: The pointer that they begin at.
    """
    parts = [part if type(part) is int else _token(str(part)) for part in tokens]
    made = root + "".join(f"/{part}" for part in parts)
    if len(made) <= MOST_POINTER:
        return made
    head = made[: MOST_POINTER // 2].rpartition("/")[0]
    tail = made[-MOST_POINTER // 2 + 2 :]
    return f"{head}/…{tail[tail.index('/') :]}"


def pointer_to(place: Place, root: str = "") -> str:
    """The JSON pointer of a place."""
    tokens: list[str | int] = []
    while place is not None:
        place, token = place
        tokens.append(token)
    return pointer(reversed(tokens), root)


def _token(key: str) -> str:
    if len(key) > MOST_KEY:
        key = f"{key[:_HEAD]}…{key[-_TAIL:]}"
    return key.replace("~", "~0").replace("/", "~1")


class Fault(NamedTuple):
    """One broken rule at one place of a document.

    Attributes:
        pointer: JSON pointer (RFC 6901) of the place, from the root of the request body or file, as ``pointer`` words
            it.
        rule: Stable short name of the rule, for example ``actor-ifi-count``.
        section: Where the rule stands, for example ``xAPI-Data 2.4.2.3`` or a template's IRI.
        message: What is wrong and what to do, without the offending value.
    """

    pointer: str
    rule: str
    section: str
    message: str


class SillageError(Exception):
    """Root of the tree. Only its subclasses are raised.

    Args:
        detail: A sentence that says what happened and what to do; no secret, no personal data.
        faults: The broken rules, when the input is a document.
        retry_after: Seconds after which trying again makes sense (becomes ``Retry-After``).
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    title_fr: ClassVar[str] = "Erreur interne"

    def __init__(self, detail: str = "", *, faults: Sequence[Fault] = (), retry_after: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.faults = tuple(faults)
        self.retry_after = retry_after


# --- what a client sent ---------------------------------------------------------------------------


class BadRequest(SillageError):
    """The request breaks a rule; sending it again unchanged gives the same answer."""

    code = "bad-request"
    status = 400
    title = "The request is not valid"
    title_fr = "La requête n'est pas valide"


class MalformedJSON(BadRequest):
    """The body is not one well-formed UTF-8 JSON document."""

    code = "malformed-json"
    title = "The body is not well-formed JSON"
    title_fr = "Le corps n'est pas du JSON bien formé"


class MalformedMultipart(BadRequest):
    """The body is not a well-formed multipart/mixed message, or its parts are not statements and their attachments."""

    code = "malformed-multipart"
    title = "The multipart body is not well formed"
    title_fr = "Le corps multipart n'est pas bien formé"


class MalformedEncoding(BadRequest):
    """The body says it is compressed with gzip and is not, or was cut."""

    code = "malformed-encoding"
    title = "The compressed body cannot be unpacked"
    title_fr = "Le corps compressé ne peut pas être décompressé"


class DuplicateKey(BadRequest):
    """A JSON object has the same key twice, so its meaning depends on the reader."""

    code = "duplicate-key"
    title = "A JSON object has the same key twice"
    title_fr = "Un objet JSON contient deux fois la même clé"


class InvalidStatement(BadRequest):
    """A statement breaks the xAPI standard; ``faults`` say where and which rule."""

    code = "invalid-statement"
    title = "A statement breaks the xAPI standard"
    title_fr = "Un énoncé ne respecte pas le standard xAPI"


class ProfileRejected(BadRequest):
    """A statement or document breaks the profiles that its source promised, and the source's mode is ``reject``."""

    code = "profile-rejected"
    title = "A statement or document breaks the profiles of its source"
    title_fr = "Un énoncé ou un document ne respecte pas les profils de sa source"


class PersonalDataRefused(BadRequest):
    """A statement of a source about minors holds a name, an e-mail address or a national pupil number."""

    code = "personal-data-refused"
    title = "A statement about minors names a person"
    title_fr = "Un énoncé concernant des mineurs nomme une personne"


class BadParameter(BadRequest):
    """A query parameter is unknown, repeated, malformed, or excluded by another one."""

    code = "bad-parameter"
    title = "A query parameter is not valid"
    title_fr = "Un paramètre de requête n'est pas valide"


class BadCursor(BadRequest):
    """The ``more`` cursor was altered, or belongs to another credential or store."""

    code = "bad-cursor"
    title = "The page cursor is not valid"
    title_fr = "Le curseur de page n'est pas valide"


class BadVersion(BadRequest):
    """The ``X-Experience-API-Version`` header is missing or names a version not spoken here."""

    code = "bad-version"
    title = "The xAPI version is missing or not supported"
    title_fr = "La version xAPI est absente ou non prise en charge"


class CredentialsRefused(SillageError):
    """No credentials, unknown or revoked ones, or a wrong secret: the answer does not say which."""

    code = "credentials-refused"
    status = 401
    title = "Valid credentials are needed"
    title_fr = "Des identifiants valides sont nécessaires"


class ScopeMissing(SillageError):
    """The credential is valid but its scopes do not allow this."""

    code = "scope-missing"
    status = 403
    title = "This credential may not do that"
    title_fr = "Ces identifiants ne donnent pas ce droit"


class CrossSiteRefused(SillageError):
    """A browser sent the request for a page of another site, which is not one that may call this store."""

    code = "cross-site-refused"
    status = 403
    title = "This page may not call the store"
    title_fr = "Cette page ne peut pas appeler l'entrepôt"


class ActivityNotInForce(SillageError):
    """The processing activity of this source is not in force (GDPR art. 30): nothing was stored."""

    code = "activity-not-in-force"
    status = 403
    title = "The processing activity of this source is not in force"
    title_fr = "Le traitement dont relève cette source n'est pas en vigueur"


class PersonRestricted(SillageError):
    """The data of this person are restricted (GDPR art. 18): what is stored of them is neither changed nor deleted."""

    code = "person-restricted"
    status = 403
    title = "The data of this person are restricted"
    title_fr = "Les données de cette personne font l'objet d'une limitation"


class PersonRefused(SillageError):
    """A person objects to new data (GDPR art. 21), and the controller has it refused; nothing was stored."""

    code = "person-refused"
    status = 403
    title = "This person objects to new data"
    title_fr = "Cette personne s'oppose à de nouvelles données"


class NotFound(SillageError):
    """Nothing here under that name, or nothing that this credential may see."""

    code = "not-found"
    status = 404
    title = "Not found"
    title_fr = "Introuvable"


class MethodNotAllowed(SillageError):
    """The resource exists but does not take this method."""

    code = "method-not-allowed"
    status = 405
    title = "This resource does not take that method"
    title_fr = "Cette ressource n'accepte pas cette méthode"


class RequestTimeout(SillageError):
    """The request did not arrive in the time that its size allows; nothing of it was stored."""

    code = "request-timeout"
    status = 408
    title = "The body took too long to arrive"
    title_fr = "Le corps a mis trop de temps à arriver"


class StatementConflict(SillageError):
    """A statement id is already taken by a different statement; nothing of the batch was stored."""

    code = "statement-conflict"
    status = 409
    title = "A statement id is taken by a different statement"
    title_fr = "Un identifiant désigne déjà un autre énoncé"


class DocumentConflict(SillageError):
    """There is a document here already, and the request does not say which one it means to replace."""

    code = "document-conflict"
    status = 409
    title = "There is a document here already"
    title_fr = "Il y a déjà un document à cet endroit"


class CaseConflict(SillageError):
    """A request of a person is not at the point where this step can be taken; it stays as it is."""

    code = "case-conflict"
    status = 409
    title = "This request is not at that point"
    title_fr = "Cette demande n'en est pas à cette étape"


class PreconditionFailed(SillageError):
    """``If-Match`` or ``If-None-Match`` is not true of the document that is there; it was not changed."""

    code = "precondition-failed"
    status = 412
    title = "The document is not as the request expects"
    title_fr = "Le document n'est pas celui que la requête attend"


class BodyTooLarge(SillageError):
    """The body is larger than the limit (bytes), or holds more statements than the limit."""

    code = "body-too-large"
    status = 413
    title = "The body is too large"
    title_fr = "Le corps est trop volumineux"


class StatementTooLarge(BodyTooLarge):
    """A statement has more bytes of JSON than the limit of one statement; nothing of the batch was stored."""

    code = "statement-too-large"
    title = "A statement is too large"
    title_fr = "Un énoncé est trop volumineux"


class AddressTooLong(BadRequest):
    """The first line of the request, method and address, is longer than this server reads."""

    code = "address-too-long"
    status = 414
    title = "The address is too long"
    title_fr = "L'adresse est trop longue"


class ExpectationFailed(BadRequest):
    """The header ``Expect`` asks for something else than ``100-continue``."""

    code = "expectation-failed"
    status = 417
    title = "What the header Expect asks for is not known here"
    title_fr = "Ce que demande l'en-tête Expect n'est pas connu ici"


class HeadTooLarge(BadRequest):
    """The headers of the request are more, or longer, than this server reads."""

    code = "head-too-large"
    status = 431
    title = "The headers are too large"
    title_fr = "Les en-têtes sont trop volumineux"


class CodingUnknown(SillageError):
    """The body comes in a transfer coding that this server does not know."""

    code = "transfer-coding-unknown"
    status = 501
    title = "The transfer coding is not known here"
    title_fr = "Le codage de transfert n'est pas connu ici"


class UnsupportedContentType(SillageError):
    """The content type, or encoding, is not one that this resource takes."""

    code = "unsupported-content-type"
    # xAPI-Communication 3.2: 400 where the content type does not fit; 415 is not among the standard's codes.
    status = 400
    title = "The content type is not supported"
    title_fr = "Le type de contenu n'est pas pris en charge"


class TooManyRequests(SillageError):
    """The source asks for more than its share of a server that others ask too; nothing of the request was read."""

    code = "too-many-requests"
    status = 429
    title = "This source sends too much at once"
    title_fr = "Cette source envoie trop à la fois"


# --- what the store cannot do now -----------------------------------------------------------------


class Unavailable(SillageError):
    """The store cannot serve now; nothing was half-stored, and the same request may be sent again."""

    code = "unavailable"
    status = 503
    title = "The store is not available for the moment"
    title_fr = "Le dépôt n'est pas disponible pour le moment"

    def __init__(self, detail: str = "", *, faults: Sequence[Fault] = (), retry_after: int | None = 5) -> None:
        super().__init__(detail, faults=faults, retry_after=retry_after)


class KeysUnavailable(Unavailable):
    """Vault, with the key-encryption keys, does not answer, is sealed, or refuses the token; nothing was stored."""

    code = "keys-unavailable"
    title = "The keys cannot be reached for the moment"
    title_fr = "Les clés ne sont pas joignables pour le moment"


class Overloaded(Unavailable):
    """More requests wait, or more bytes are on their way, than this server can take; nothing was stored."""

    code = "overloaded"
    title = "The server has more to do than it can"
    title_fr = "Le serveur est surchargé"


class DatabaseUnavailable(Unavailable):
    """MongoDB does not answer, has no primary, or cut the operation off."""

    code = "database-unavailable"
    title = "The database does not answer"
    title_fr = "La base de données ne répond pas"


class ClockOff(Unavailable):
    """This host's clock is more than a minute from MongoDB's, so nothing is stamped here; nothing was stored."""

    code = "clock-off"
    title = "The clock of this host is not right"
    title_fr = "L'horloge de cet hôte n'est pas à l'heure"


class StorageFull(Unavailable):
    """The database's disk has no room left; nothing of the request was stored."""

    code = "storage-full"
    title = "The disk of the database is full"
    title_fr = "Le disque de la base de données est plein"


# --- what an operator gave ------------------------------------------------------------------------


class OperatorError(SillageError):
    """A command or a start-up that cannot go on; the detail says how to mend it."""

    code = "operator-error"
    status = 500
    title = "The command cannot go on"
    title_fr = "La commande ne peut pas continuer"


class SettingsInvalid(OperatorError):
    """A setting is unknown, malformed, impossible or unsafe."""

    code = "settings-invalid"
    title = "A setting is not valid or not safe"
    title_fr = "Un réglage n'est pas valide ou pas sûr"


class KeyMissing(OperatorError):
    """No key-encryption key was found where the settings say."""

    code = "key-missing"
    title = "No key-encryption key was found"
    title_fr = "Aucune clé maîtresse n'a été trouvée"


class KeyRefused(OperatorError):
    """The key-encryption key does not open this store, or its file can be read by others."""

    code = "key-refused"
    title = "The key-encryption key does not open this store"
    title_fr = "La clé maîtresse n'ouvre pas ce dépôt"


class KeysBusy(OperatorError):
    """Another command is changing the key file."""

    code = "keys-busy"
    title = "The key file is being changed"
    title_fr = "Le fichier de clés est en cours de modification"


class KeyInUse(OperatorError):
    """A version of the key-encryption key cannot be destroyed: something needs it, or may still."""

    code = "key-in-use"
    title = "This version of the key is still needed"
    title_fr = "Cette version de la clé sert encore"


class KeyNotShared(OperatorError):
    """A process does not hold the new version of the key-encryption key, so nothing is wrapped with it yet."""

    code = "key-not-shared"
    title = "A process does not have the new key yet"
    title_fr = "Un processus n'a pas encore la nouvelle clé"


class KeysUnopened(OperatorError):
    """Keys or statements do not open with the key-encryption keys at hand."""

    code = "keys-unopened"
    title = "Not everything opens with these keys"
    title_fr = "Ces clés n'ouvrent pas tout"


class KeyBackupRefused(OperatorError):
    """A copy of the key file cannot be read: wrong passphrase, cut, altered, or of a later version."""

    code = "key-backup-refused"
    title = "The copy of the key file cannot be used"
    title_fr = "La copie du fichier de clés n'est pas utilisable"


class Unsealable(SillageError):
    """A sealed value is damaged, or was moved; never one that was erased with its key."""

    code = "unsealable"
    title = "A sealed value cannot be opened"
    title_fr = "Une valeur scellée ne peut pas être ouverte"


class DatabaseMissing(OperatorError):
    """No MongoDB is configured and none can be started here."""

    code = "database-missing"
    title = "No MongoDB was found"
    title_fr = "Aucun MongoDB n'a été trouvé"


class DatabaseRefused(OperatorError):
    """MongoDB answers, but not to this account, or it is not the replica set that transactions need."""

    code = "database-refused"
    title = "MongoDB refuses to work for this store"
    title_fr = "MongoDB refuse de servir ce dépôt"


class DatabaseFailed(OperatorError):
    """The embedded MongoDB cannot be started in its folder; the detail says why."""

    code = "database-failed"
    title = "The embedded MongoDB does not start"
    title_fr = "Le MongoDB embarqué ne démarre pas"


class MigrationMissing(OperatorError):
    """The database's collections or indexes are not those of this version."""

    code = "migration-missing"
    title = "The database is not at this version"
    title_fr = "La base de données n'est pas à cette version"


class FileRefused(OperatorError):
    """A file cannot be read, or is not what its name or the command says (JSON, gzip)."""

    code = "file-refused"
    title = "The file cannot be used"
    title_fr = "Le fichier n'est pas utilisable"


class BackupRefused(OperatorError):
    """A backup cannot be read: no backup, damaged, cut, of another organisation, or of a later version."""

    code = "backup-refused"
    title = "The backup cannot be used"
    title_fr = "La sauvegarde n'est pas utilisable"


class BackupFailed(OperatorError):
    """A backup could not be finished; what was written of it is gone."""

    code = "backup-failed"
    title = "The backup could not be finished"
    title_fr = "La sauvegarde n'a pas pu être terminée"


class RestoreRefused(OperatorError):
    """A backup is not restored here: the store is not empty, or in use."""

    code = "restore-refused"
    title = "Nothing is restored here"
    title_fr = "Aucune restauration n'est faite ici"


class RestoreUnfinished(OperatorError):
    """A restore of this database was begun and is not finished, so nothing may work on it."""

    code = "restore-unfinished"
    title = "A restore is not finished"
    title_fr = "Une restauration n'est pas terminée"


class ProfileInvalid(OperatorError):
    """A document is not a usable xAPI Profile; ``faults`` say where."""

    code = "profile-invalid"
    title = "The document is not a valid xAPI Profile"
    title_fr = "Le document n'est pas un profil xAPI valide"


class RegisterInvalid(OperatorError):
    """A processing activity or a source breaks the rules of the register; ``faults`` say where."""

    code = "register-invalid"
    title = "The register does not take this entry"
    title_fr = "Le registre n'accepte pas cette entrée"


class DefinitionInvalid(OperatorError):
    """An aggregate definition breaks its schema or names unknown columns; ``faults`` say where."""

    code = "definition-invalid"
    title = "The aggregate definition is not valid"
    title_fr = "La définition de l'agrégat n'est pas valide"


class ChainBroken(OperatorError):
    """The audit log was altered: an entry is changed, missing or out of order."""

    code = "chain-broken"
    title = "The audit log was altered"
    title_fr = "Le journal d'audit a été altéré"


class LeaseHeld(OperatorError):
    """A scheduler leads now, so a job cannot be run by hand beside it; the detail names the holder."""

    code = "lease-held"
    title = "A scheduler leads now"
    title_fr = "Un ordonnanceur est déjà à l'œuvre"


class SignatureRefused(OperatorError):
    """A signed document (a receipt, a checkpoint) does not verify with the public key given."""

    code = "signature-refused"
    title = "The signature does not verify"
    title_fr = "La signature n'est pas valable"


class JobFailed(OperatorError):
    """A job run by hand did not succeed; the history and the log say how."""

    code = "job-failed"
    title = "The job did not succeed"
    title_fr = "La tâche n'a pas abouti"


class PartlyDone(OperatorError):
    """Of several persons, some could not be acted on; the others were, and each line of output says what became."""

    code = "partly-done"
    title = "It was not done for everybody"
    title_fr = "Ce n'a pas été fait pour tout le monde"


class LeaseLost(SillageError):
    """Another scheduler leads now; what this one was doing is not committed."""

    code = "lease-lost"
    status = 503
    title = "Another scheduler leads now"
    title_fr = "Un autre ordonnanceur a pris la main"


def every() -> Iterator[type[SillageError]]:
    """Every error class, the root included, depth first: for the documentation and its test."""
    stack: list[type[SillageError]] = [SillageError]
    while stack:
        kind = stack.pop()
        yield kind
        stack.extend(reversed(kind.__subclasses__()))

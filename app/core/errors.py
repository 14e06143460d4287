"""Every error of Sillage, in one tree.

An error is part of the interface. Each class has a stable ``code`` (documented in ``docs/errors.md``),
the HTTP status it becomes, a title in English and in French, and each instance a sentence that a person
can act on. None carries a secret or personal data: a detail names places (JSON pointers), rules and
sections of a standard, never the values found there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, TypeAlias

MAX_POINTER = 2_000
"""Of characters in a JSON pointer, and ``MAX_KEY`` of a key in it: senders choose the keys."""
MAX_KEY = 200
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
    if len(made) <= MAX_POINTER:
        return made
    head = made[: MAX_POINTER // 2].rpartition("/")[0]
    tail = made[-MAX_POINTER // 2 + 2 :]
    return f"{head}/…{tail[tail.index('/') :]}"


def pointer_to(place: Place, root: str = "") -> str:
    """The JSON pointer of a place."""
    tokens: list[str | int] = []
    while place is not None:
        place, token = place
        tokens.append(token)
    return pointer(reversed(tokens), root)


def _token(key: str) -> str:
    if len(key) > MAX_KEY:
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
    title: ClassVar[str] = "Internal error: give the request id to the operator"
    title_fr: ClassVar[str] = "Erreur interne : donnez l'identifiant de la requête à l'exploitant"

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
    title = "Request refused: correct it before sending it again"
    title_fr = "Requête refusée : corrigez-la avant de la renvoyer"


class MalformedJSON(BadRequest):
    """The body is not one well-formed UTF-8 JSON document."""

    code = "malformed-json"
    title = "JSON refused: send one well-formed UTF-8 document"
    title_fr = "JSON refusé : envoyez un seul document bien formé, en UTF-8"


class MalformedMultipart(BadRequest):
    """The body is not a well-formed multipart/mixed message, or its parts are not statements and their attachments."""

    code = "malformed-multipart"
    title = "Multipart body refused: send the statements, then a part for each attachment"
    title_fr = "Corps multipart refusé : envoyez les énoncés, puis une partie par pièce jointe"


class MalformedEncoding(BadRequest):
    """The body says it is compressed with gzip and is not, or was cut."""

    code = "malformed-encoding"
    title = "Compressed body refused: send what gzip made, whole, or the body uncompressed"
    title_fr = "Corps compressé refusé : envoyez le produit de gzip, entier, ou le corps non compressé"


class DuplicateKey(BadRequest):
    """A JSON object has the same key twice, so its meaning depends on the reader."""

    code = "duplicate-key"
    title = "JSON refused: an object has the same key twice; keep one of them"
    title_fr = "JSON refusé : un objet contient deux fois la même clé ; gardez-en une"


class InvalidStatement(BadRequest):
    """A statement breaks the xAPI standard; ``faults`` say where and which rule."""

    code = "invalid-statement"
    title = "Statements refused: correct what breaks the xAPI standard"
    title_fr = "Énoncés refusés : corrigez ce qui enfreint le standard xAPI"


class ProfileRejected(BadRequest):
    """A statement or document breaks the profiles that its source promised, and the source's mode is ``reject``."""

    code = "profile-rejected"
    title = "Statements or document refused: correct what breaks the profiles of the source"
    title_fr = "Énoncés ou document refusés : corrigez ce qui enfreint les profils de la source"


class PersonalDataRefused(BadRequest):
    """A statement of a source about minors holds a name, an e-mail address or a national pupil number."""

    code = "personal-data-refused"
    title = "Statements refused: leave out what names minors"
    title_fr = "Énoncés refusés : retirez ce qui nomme des mineurs"


class BadParameter(BadRequest):
    """A query parameter is unknown, repeated, malformed, or excluded by another one."""

    code = "bad-parameter"
    title = "Query refused: correct the parameter that is not valid"
    title_fr = "Requête refusée : corrigez le paramètre qui n'est pas valide"


class BadCursor(BadRequest):
    """The ``more`` cursor was altered, or belongs to another credential or store."""

    code = "bad-cursor"
    title = "Page cursor refused: start the query again from its first page"
    title_fr = "Curseur de page refusé : reprenez la requête à sa première page"


class BadVersion(BadRequest):
    """The ``X-Experience-API-Version`` header is missing or names a version not spoken here."""

    code = "bad-version"
    title = "Request refused: send X-Experience-API-Version with a supported version of xAPI"
    title_fr = "Requête refusée : envoyez X-Experience-API-Version avec une version de xAPI prise en charge"


class CredentialsRefused(SillageError):
    """No credentials, unknown or revoked ones, or a wrong secret: the answer does not say which."""

    code = "credentials-refused"
    status = 401
    title = "Credentials refused: send a valid key and secret"
    title_fr = "Identifiants refusés : envoyez une clé et un secret valides"


class ScopeMissing(SillageError):
    """The credential is valid but its scopes do not allow this."""

    code = "scope-missing"
    status = 403
    title = "Access refused: the credential has no scope for this request"
    title_fr = "Accès refusé : ces identifiants n'ont pas de portée pour cette requête"


class RoleMissing(SillageError):
    """A role is missing of whoever is signed in: the page is for another one."""

    code = "role-missing"
    status = 403
    title = "Page refused: it is for another role than yours"
    title_fr = "Page refusée : elle s'adresse à un autre rôle que le vôtre"


class FormRefused(SillageError):
    """A form was sent without the token of its session, or from another site; nothing was done."""

    code = "form-refused"
    status = 403
    title = "Form refused: it is not of this session; load the page again and send it once more"
    title_fr = "Formulaire refusé : il n'est pas de cette session ; rechargez la page et renvoyez-le"


class OutsidePerimeter(SillageError):
    """Something outside the perimeter of the credential is asked for, or a resource that knows no such bounds."""

    code = "outside-perimeter"
    status = 403
    title = "Access refused: this lies outside the perimeter of the credential; ask for what it allows"
    title_fr = "Accès refusé : ceci est hors du périmètre de ces identifiants ; demandez ce qu'il permet"

    def __init__(self, detail: str, *, asked: str = "") -> None:
        """``asked``: what was asked for, for the audit log: ``source``, ``statement``, ``dates``…; no value of it."""
        super().__init__(detail)
        self.asked = asked


class SignInRefused(SillageError):
    """A login, password or code was not right, or its account has no role now: the answer does not say which."""

    code = "sign-in-refused"
    status = 403
    title = "Sign-in refused: check what you typed, and try again"
    title_fr = "Connexion refusée : vérifiez votre saisie, puis réessayez"


class ProviderRefused(SillageError):
    """A sign-in provider's answer does not hold, was not asked for in this browser, or gives no role; nobody got in."""

    code = "provider-refused"
    status = 403
    title = "Sign-in refused: the answer of the sign-in provider does not hold; begin once more"
    title_fr = "Connexion refusée : la réponse du fournisseur d'identité n'est pas valable ; recommencez"


class RoleNotGiven(ProviderRefused):
    """A sign-in provider says who somebody is, and none of its rules gives them a role; nobody got in."""

    code = "role-not-given"
    title = "Sign-in refused: what the sign-in provider says gives no role in this store"
    title_fr = "Connexion refusée : ce que dit le fournisseur d'identité ne donne aucun rôle dans cet entrepôt"


class InvitationRefused(SillageError):
    """A link of an invitation that was used, has ended, or never was; nothing was done."""

    code = "invitation-refused"
    status = 403
    title = "Invitation refused: it was used, or has ended; ask for another one"
    title_fr = "Invitation refusée : elle a déjà servi ou a expiré ; demandez-en une autre"


class PasswordRefused(BadRequest):
    """A password that is too short, or that somebody would try first; ``faults`` say which rule it breaks."""

    code = "password-refused"
    title = "Password refused: choose a longer one that is hard to guess"
    title_fr = "Mot de passe refusé : choisissez-en un plus long, difficile à deviner"


class CrossSiteRefused(SillageError):
    """A browser sent the request for a page of another site, which is not one that may call this store."""

    code = "cross-site-refused"
    status = 403
    title = "Request refused: the page's origin is not in SILLAGE_CORS_ORIGINS"
    title_fr = "Requête refusée : l'origine de la page n'est pas dans SILLAGE_CORS_ORIGINS"


class ActivityNotInForce(SillageError):
    """The processing activity of this source is not in force (GDPR art. 30): nothing was stored."""

    code = "activity-not-in-force"
    status = 403
    title = "Write refused: the processing activity of the source is not in force"
    title_fr = "Écriture refusée : le traitement dont relève la source n'est pas en vigueur"


class DataSubjectRestricted(SillageError):
    """The data of this person are restricted (GDPR art. 18): what is stored of them is neither changed nor deleted."""

    code = "person-restricted"
    status = 403
    title = "Change refused: processing of the data subject's data is restricted (GDPR art. 18)"
    title_fr = "Modification refusée : les données de la personne font l'objet d'une limitation (RGPD, art. 18)"


class DataSubjectRefused(SillageError):
    """A person objects to new data (GDPR art. 21), and the controller has it refused; nothing was stored."""

    code = "person-refused"
    status = 403
    title = "Write refused: the data subject objects to new data (GDPR art. 21)"
    title_fr = "Écriture refusée : la personne s'oppose à de nouvelles données (RGPD, art. 21)"


class NotFound(SillageError):
    """Nothing here under that name, or nothing that this credential may see."""

    code = "not-found"
    status = 404
    title = "Resource not found: check the address or the id"
    title_fr = "Ressource introuvable : vérifiez l'adresse ou l'identifiant"


class MethodNotAllowed(SillageError):
    """The resource exists but does not take this method."""

    code = "method-not-allowed"
    status = 405
    title = "Method refused: use one of those in the Allow header"
    title_fr = "Méthode refusée : utilisez l'une de celles de l'en-tête Allow"


class RequestTimeout(SillageError):
    """The request did not arrive in the time that its size allows; nothing of it was stored."""

    code = "request-timeout"
    status = 408
    title = "Request abandoned: the body took too long to arrive; send it again"
    title_fr = "Requête abandonnée : le corps a mis trop de temps à arriver ; renvoyez-la"


class StatementConflict(SillageError):
    """A statement id is already taken by a different statement; nothing of the batch was stored."""

    code = "statement-conflict"
    status = 409
    title = "Statements refused: an id is taken by a different statement; give the new one its own"
    title_fr = "Énoncés refusés : un identifiant désigne déjà un autre énoncé ; donnez-en un propre au nouveau"


class DocumentConflict(SillageError):
    """There is a document here already, and the request does not say which one it means to replace."""

    code = "document-conflict"
    status = 409
    title = "Document refused: another one is stored; send If-Match with its ETag to replace it"
    title_fr = "Document refusé : un autre est enregistré ; envoyez If-Match avec son ETag pour le remplacer"


class DataSubjectRequestConflict(SillageError):
    """A data-subject request is not at the point where this step can be taken; it stays as it is."""

    code = "case-conflict"
    status = 409
    title = "Step refused: the data-subject request is not at the point where it can be taken"
    title_fr = "Étape refusée : la demande d'exercice de droits n'en est pas au point qui la permet"


class UserConflict(SillageError):
    """An account with this login is there already, or it is being changed by somebody else; it stays as it is."""

    code = "user-conflict"
    status = 409
    title = "Account refused: its login is taken, or another change is under way"
    title_fr = "Compte refusé : son identifiant est déjà pris, ou une autre modification est en cours"


class LinkRefused(BadRequest):
    """A code for the link of an account to a learner opens nothing: it is mistyped, was given before, has ended, or is
    for an account with another role.
    """

    code = "link-refused"
    title = "Code refused: it is mistyped, was used, has ended, or is for another kind of account"
    title_fr = "Code refusé : il est mal saisi, a déjà servi, a expiré, ou vaut pour un autre type de compte"


class LinksExceeded(BadRequest):
    """An account has as many links to learners as it may have; no code makes another one."""

    code = "links-exceeded"
    title = "Code refused: the account has as many links as it may; have one ended first"
    title_fr = "Code refusé : le compte a autant de liens que possible ; faites-en d'abord terminer un"


class PreconditionFailed(SillageError):
    """``If-Match`` or ``If-None-Match`` is not true of the document that is there; it was not changed."""

    code = "precondition-failed"
    status = 412
    title = "Precondition failed: the document has another ETag; read it again"
    title_fr = "Condition refusée : le document a un autre ETag ; relisez-le"


class BodyTooLarge(SillageError):
    """The body is larger than the limit (bytes), or holds more statements than the limit."""

    code = "body-too-large"
    status = 413
    title = "Body refused: it is larger than the limit; send less at once"
    title_fr = "Corps refusé : il dépasse la limite ; envoyez moins à la fois"


class StatementTooLarge(BodyTooLarge):
    """A statement has more bytes of JSON than the limit of one statement; nothing of the batch was stored."""

    code = "statement-too-large"
    title = "Statements refused: one is larger than the limit; send what it carries as an attachment"
    title_fr = "Énoncés refusés : l'un dépasse la limite ; envoyez ce qu'il porte en pièce jointe"


class AddressTooLong(BadRequest):
    """The first line of the request, method and address, is longer than this server reads."""

    code = "address-too-long"
    status = 414
    title = "Request refused: the address is too long; send the query as a form"
    title_fr = "Requête refusée : l'adresse est trop longue ; envoyez la requête sous forme de formulaire"


class ExpectationFailed(BadRequest):
    """The header ``Expect`` asks for something else than ``100-continue``."""

    code = "expectation-failed"
    status = 417
    title = "Request refused: leave out the header Expect, or send 100-continue"
    title_fr = "Requête refusée : retirez l'en-tête Expect, ou envoyez 100-continue"


class HeadTooLarge(BadRequest):
    """The headers of the request are more, or longer, than this server reads."""

    code = "head-too-large"
    status = 431
    title = "Request refused: send fewer or shorter headers"
    title_fr = "Requête refusée : envoyez moins d'en-têtes, ou de plus courts"


class CodingUnknown(SillageError):
    """The body comes in a transfer coding that this server does not know."""

    code = "transfer-coding-unknown"
    status = 501
    title = "Body refused: send Content-Length, or the transfer coding chunked alone"
    title_fr = "Corps refusé : envoyez Content-Length, ou le codage de transfert chunked seul"


class UnsupportedContentType(SillageError):
    """The content type, or encoding, is not one that this resource takes."""

    code = "unsupported-content-type"
    # xAPI-Communication 3.2: 400 where the content type does not fit; 415 is not among the standard's codes.
    status = 400
    title = "Body refused: send a content type and encoding that the resource takes"
    title_fr = "Corps refusé : envoyez un type de contenu et un encodage que la ressource accepte"


class TooManyRequests(SillageError):
    """The source asks for more than its share of a server that others ask too; nothing of the request was read."""

    code = "too-many-requests"
    status = 429
    title = "Request refused: the source sends too much at once; wait as Retry-After says"
    title_fr = "Requête refusée : la source envoie trop à la fois ; attendez le délai de Retry-After"


class LinkAttemptsExceeded(SillageError):
    """An account gave too many codes that open nothing; none is looked at until the hour is over."""

    code = "link-attempts-exceeded"
    status = 429
    title = "Code refused: too many wrong ones were given; try again later"
    title_fr = "Code refusé : trop de codes faux ont été donnés ; réessayez plus tard"


class SignInThrottled(TooManyRequests):
    """Too many attempts to sign in failed one after another; this one was not looked at."""

    code = "sign-in-throttled"
    title = "Sign-in refused for now: too many attempts failed; wait as Retry-After says"
    title_fr = "Connexion refusée pour l'instant : trop d'essais infructueux ; attendez le délai de Retry-After"


# --- what the store cannot do now -----------------------------------------------------------------


class Unavailable(SillageError):
    """The store cannot serve now; nothing was half-stored, and the same request may be sent again."""

    code = "unavailable"
    status = 503
    title = "Store unavailable: send the same request again later"
    title_fr = "Dépôt indisponible : renvoyez la même requête plus tard"

    def __init__(self, detail: str = "", *, faults: Sequence[Fault] = (), retry_after: int | None = 5) -> None:
        super().__init__(detail, faults=faults, retry_after=retry_after)


class ProviderUnavailable(Unavailable):
    """A sign-in provider does not answer, answers too slowly, or answers nonsense; nobody got in."""

    code = "provider-unavailable"
    title = "Sign-in provider unavailable: try again later, or sign in another way"
    title_fr = "Fournisseur d'identité indisponible : réessayez plus tard, ou connectez-vous autrement"


class KeysUnavailable(Unavailable):
    """Vault, with the key-encryption keys, does not answer, is sealed, or refuses the token; nothing was stored."""

    code = "keys-unavailable"
    title = "Keys unavailable: the key provider cannot be reached; send the same request again later"
    title_fr = "Clés indisponibles : leur fournisseur n'est pas joignable ; renvoyez la même requête plus tard"


class Overloaded(Unavailable):
    """More requests wait, or more bytes are on their way, than this server can take; nothing was stored."""

    code = "overloaded"
    title = "Server overloaded: send the same request again after Retry-After"
    title_fr = "Serveur surchargé : renvoyez la même requête après le délai de Retry-After"


class DatabaseUnavailable(Unavailable):
    """MongoDB does not answer, has no primary, or cut the operation off."""

    code = "database-unavailable"
    title = "Database unavailable: MongoDB does not answer; send the same request again later"
    title_fr = "Base de données indisponible : MongoDB ne répond pas ; renvoyez la même requête plus tard"


class ClockOff(Unavailable):
    """This host's clock is more than a minute from MongoDB's, so nothing is stamped here; nothing was stored."""

    code = "clock-off"
    title = "Write refused: this host's clock and MongoDB's are over a minute apart; set them right"
    title_fr = "Écriture refusée : les horloges de l'hôte et de MongoDB ont plus d'une minute d'écart ; réglez-les"


class StorageFull(Unavailable):
    """The database's disk has no room left; nothing of the request was stored."""

    code = "storage-full"
    title = "Write failed: the disk of the database is full; make room on it"
    title_fr = "Écriture impossible : le disque de la base de données est plein ; libérez de la place"


class AuditUnavailable(Unavailable):
    """The entry of a reading cannot be written to this host's spool of the audit log; nothing was given out."""

    code = "audit-unavailable"
    title = "Reading refused: its audit entry cannot be written on this host; send the same request again later"
    title_fr = "Lecture refusée : son entrée d'audit ne peut être écrite sur cet hôte ; réessayez plus tard"


# --- what an operator gave ------------------------------------------------------------------------


class OperatorError(SillageError):
    """A command or a start-up that cannot go on; the detail says how to mend it."""

    code = "operator-error"
    status = 500
    title = "Command failed: put right what it reports, and run it again"
    title_fr = "Échec de la commande : corrigez ce qu'elle signale, puis relancez-la"


class SettingsInvalid(OperatorError):
    """A setting is unknown, malformed, impossible or unsafe."""

    code = "settings-invalid"
    title = "Settings refused: correct what is not valid or not safe"
    title_fr = "Réglages refusés : corrigez ce qui n'est pas valide ou pas sûr"


class KeyMissing(OperatorError):
    """No key-encryption key was found where the settings say."""

    code = "key-missing"
    title = "Key-encryption key not found: run sillage init on a new store, or restore the key file"
    title_fr = "Clé maîtresse introuvable : lancez sillage init (nouveau dépôt), ou restaurez le fichier de clés"


class KeyRefused(OperatorError):
    """The key-encryption key does not open this store, or its file can be read by others."""

    code = "key-refused"
    title = "Key-encryption key refused: give the one of this store, readable by its owner alone"
    title_fr = "Clé maîtresse refusée : donnez celle de ce dépôt, lisible par son seul propriétaire"


class KeysBusy(OperatorError):
    """Another command is changing the key file."""

    code = "keys-busy"
    title = "Change of keys refused: another command is changing the key file; wait for its end"
    title_fr = "Changement de clés refusé : une autre commande modifie le fichier de clés ; attendez sa fin"


class KeyInUse(OperatorError):
    """A version of the key-encryption key cannot be destroyed: something needs it, or may still."""

    code = "key-in-use"
    title = "Destruction of a key refused: its version is still in use"
    title_fr = "Destruction d'une clé refusée : sa version sert encore"


class KeyNotShared(OperatorError):
    """A process does not hold the new version of the key-encryption key, so nothing is wrapped with it yet."""

    code = "key-not-shared"
    title = "Rotation stopped: a process lacks the new key; copy the key file to its host"
    title_fr = "Rotation arrêtée : un processus n'a pas la nouvelle clé ; copiez le fichier de clés sur son hôte"


class KeysUnopened(OperatorError):
    """Keys or statements do not open with the key-encryption keys at hand."""

    code = "keys-unopened"
    title = "Decryption of keys failed: give every version of the key-encryption key in use"
    title_fr = "Déchiffrement de clés impossible : donnez chaque version utilisée de la clé maîtresse"


class KeyBackupRefused(OperatorError):
    """A copy of the key file cannot be read: wrong passphrase, cut, altered, or of a later version."""

    code = "key-backup-refused"
    title = "Copy of the key file refused: check the passphrase, or take another copy"
    title_fr = "Copie du fichier de clés refusée : vérifiez la phrase secrète, ou prenez une autre copie"


class DecryptionFailed(SillageError):
    """An encrypted value is damaged, or was moved; never one that was erased with its key."""

    code = "unsealable"
    title = "Decryption failed: a stored value is damaged or was moved; compare with a backup"
    title_fr = "Déchiffrement impossible : une valeur est altérée ou déplacée ; comparez avec une sauvegarde"


class DatabaseMissing(OperatorError):
    """No MongoDB is configured and none can be started here."""

    code = "database-missing"
    title = "MongoDB not found: set SILLAGE_MONGODB_URI, or install mongod"
    title_fr = "MongoDB introuvable : indiquez SILLAGE_MONGODB_URI, ou installez mongod"


class DatabaseRefused(OperatorError):
    """MongoDB answers, but not to this account, or it is not the replica set that transactions need."""

    code = "database-refused"
    title = "Connection to MongoDB refused: give it an account and a replica set that the store can use"
    title_fr = "Connexion à MongoDB refusée : donnez un compte et un replica set dont le dépôt puisse se servir"


class DatabaseFailed(OperatorError):
    """The embedded MongoDB cannot be started in its folder; the detail says why."""

    code = "database-failed"
    title = "Start of the embedded MongoDB failed: look at its folder and its log"
    title_fr = "Échec du démarrage du MongoDB embarqué : regardez son dossier et son journal"


class MigrationMissing(OperatorError):
    """The database's collections or indexes are not those of this version."""

    code = "migration-missing"
    title = "Start refused: the database is not at this version; run sillage migrate"
    title_fr = "Démarrage refusé : la base de données n'est pas à cette version ; lancez sillage migrate"


class FileRefused(OperatorError):
    """A file cannot be read, or is not what its name or the command says (JSON, gzip)."""

    code = "file-refused"
    title = "File refused: give one that the command can use"
    title_fr = "Fichier refusé : donnez-en un dont la commande puisse se servir"


class BackupRefused(OperatorError):
    """A backup cannot be read: no backup, damaged, cut, of another organisation, or of a later version."""

    code = "backup-refused"
    title = "Backup refused: take another copy, or the version and organisation it belongs to"
    title_fr = "Sauvegarde refusée : prenez une autre copie, ou la version et l'organisation dont elle relève"


class BackupFailed(OperatorError):
    """A backup could not be finished; what was written of it is gone."""

    code = "backup-failed"
    title = "Backup failed: what was written of it is gone; run it again"
    title_fr = "Échec de la sauvegarde : ce qui en était écrit est supprimé ; relancez-la"


class RestoreRefused(OperatorError):
    """A backup is not restored here: the store is not empty, or in use."""

    code = "restore-refused"
    title = "Restore refused: the target database is not empty, or not ready for it"
    title_fr = "Restauration refusée : la base de destination n'est pas vide, ou pas prête"


class RestoreUnfinished(OperatorError):
    """A restore of this database was begun and is not finished, so nothing may work on it."""

    code = "restore-unfinished"
    title = "Start refused: a restore is not finished; run sillage restore again"
    title_fr = "Démarrage refusé : une restauration n'est pas terminée ; relancez sillage restore"


class ProfileInvalid(OperatorError):
    """A document is not a usable xAPI Profile; ``faults`` say where."""

    code = "profile-invalid"
    title = "Profile refused: correct what breaks xAPI Profiles 1.0"
    title_fr = "Profil refusé : corrigez ce qui enfreint xAPI Profiles 1.0"


class RegisterInvalid(OperatorError):
    """A processing activity or a source breaks the rules of the register; ``faults`` say where."""

    code = "register-invalid"
    title = "Entry of the register refused: correct what breaks its rules"
    title_fr = "Entrée du registre refusée : corrigez ce qui enfreint ses règles"


class DefinitionInvalid(OperatorError):
    """An aggregate definition breaks its schema or names unknown columns; ``faults`` say where."""

    code = "definition-invalid"
    title = "Aggregate definition refused: correct what breaks its schema or rules"
    title_fr = "Définition d'agrégat refusée : corrigez ce qui enfreint son schéma ou ses règles"


class ChainBroken(OperatorError):
    """The audit log was altered: an entry is changed, missing or out of order."""

    code = "chain-broken"
    title = "Audit log altered: keep the database as it is, and compare with a backup"
    title_fr = "Journal d'audit altéré : gardez la base de données telle quelle, et comparez avec une sauvegarde"


class LeaseHeld(OperatorError):
    """A scheduler leads now, so a job cannot be run by hand beside it; the detail names the holder."""

    code = "lease-held"
    title = "Job refused: a scheduler holds the lease; wait for the job's time, or stop that scheduler"
    title_fr = "Tâche refusée : un ordonnanceur détient le bail ; attendez l'heure de la tâche, ou arrêtez-le"


class SignatureRefused(OperatorError):
    """A signed document (a receipt, a checkpoint) does not verify with the public key given."""

    code = "signature-refused"
    title = "Signature refused: give the document as it was issued, and its issuer's public key"
    title_fr = "Signature refusée : donnez le document tel qu'il a été émis, et la clé publique de son émetteur"


class JobFailed(OperatorError):
    """A job run by hand did not succeed; the history and the log say how."""

    code = "job-failed"
    title = "Job failed: its history and the log say where"
    title_fr = "Échec de la tâche : son historique et le journal disent où"


class PartlyDone(OperatorError):
    """Of several persons, some could not be acted on; the others were, and each line of output says what became."""

    code = "partly-done"
    title = "Command failed for some persons: correct what their lines say, and give them again"
    title_fr = "Échec pour certaines personnes : corrigez ce que disent leurs lignes, et redonnez-les"


class MailMissing(OperatorError):
    """A message is to be sent, and the settings name no mail server: nothing is sent, and nothing waits."""

    code = "mail-not-set-up"
    title = "Message refused: no mail server is set up; set SILLAGE_SMTP_HOST and SILLAGE_SMTP_SENDER"
    title_fr = "Message refusé : aucun serveur de messagerie ; indiquez SILLAGE_SMTP_HOST et SILLAGE_SMTP_SENDER"


class MailFailed(OperatorError):
    """The mail server did not take a message of ``sillage mail test``; the detail says at which step."""

    code = "mail-failed"
    title = "Sending failed: the mail server did not take the message; correct what the detail names"
    title_fr = "Échec de l'envoi : le serveur de messagerie n'a pas pris le message ; corrigez ce que dit le détail"


class LeaseLost(SillageError):
    """Another scheduler leads now; what this one was doing is not committed."""

    code = "lease-lost"
    status = 503
    title = "Job stopped: this scheduler no longer holds the lease; the next holder goes on with it"
    title_fr = "Tâche arrêtée : cet ordonnanceur ne détient plus le bail ; le prochain détenteur la poursuit"


def every() -> Iterator[type[SillageError]]:
    """Every error class, the root included, depth first: for the documentation and its test."""
    stack: list[type[SillageError]] = [SillageError]
    while stack:
        kind = stack.pop()
        yield kind
        stack.extend(reversed(kind.__subclasses__()))

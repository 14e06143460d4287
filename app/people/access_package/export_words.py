"""The words of the page that one data subject is given, in French and in English; the same keys in both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LANGUAGES: Final = ("fr", "en")

_FR: Final[Mapping[str, str]] = {
    "title": "Ce qui est enregistré à votre sujet",
    "intro": "Cette page accompagne les fichiers qui vous sont remis en réponse à une demande d'accès ou de "
    "portabilité "
    "(articles 15 et 20 du règlement général sur la protection des données, RGPD). Elle a été établie le {date} "
    "à partir du dépôt de traces d'apprentissage « {organisation} ».",
    "case": "Dossier : {case}.",
    "asked": "Identifiants pour lesquels la recherche a été faite",
    "pseudonyms": "Des données ont aussi été trouvées sous les comptes qui suivent. Avant d'enregistrer les données "
    "de ces outils, le dépôt remplace l'adresse ou le nom de compte reçu par un pseudonyme ; il l'a calculé de "
    "nouveau pour cette recherche.",
    "nothing": "Rien n'est enregistré sous ces identifiants : ni trace d'activité, ni document, ni pièce jointe, ni "
    "mention "
    "par quelqu'un d'autre.",
    "contents": "Sommaire",
    "summary": "En bref",
    "own": "Traces de votre activité",
    "voided": "dont annulées (elles ne sont plus montrées aux outils, mais restent conservées)",
    "mentions": "Traces d'autres personnes, ou au nom d'un groupe, qui vous mentionnent",
    "documents": "Documents enregistrés pour vous (reprise d'un exercice, préférences)",
    "attachments": "Pièces jointes ({size})",
    "sessions": "Déroulements de séances suivis",
    "period": "Période d'enregistrement",
    "from_to": "du {first} au {last}",
    "unreadable": "Traces conservées mais illisibles (endommagées)",
    "restricted": "Le traitement de vos données est limité (article 18) : elles restent conservées, et ne sont plus "
    "utilisées.",
    "restricted_since": "Limitation depuis le {date}.",
    "objects": "Votre opposition est enregistrée (article 21) pour : {purposes}.",
    "chart": "Combien de traces, mois par mois et outil par outil",
    "chart_note": "Le mois est celui où l'activité a eu lieu, d'après l'outil.",
    "chart_desc": "Diagramme en barres empilées ; le tableau qui suit donne les mêmes nombres.",
    "month": "Mois",
    "total": "Total",
    "other_tools": "autres outils",
    "earlier": "avant {month}",
    "what": "Ce qui a été enregistré",
    "verbs": "Les actions",
    "verb": "Action",
    "count": "Nombre",
    "activities": "Les activités et les ressources",
    "activity": "Activité ou ressource",
    "others_counted": "et {count} autre trace|et {count} autres traces",
    "latest": "La trace enregistrée en dernier|Les {count} traces enregistrées en dernier",
    "latest_note": "Toutes les traces sont dans les fichiers du dossier « statements ».",
    "happened": "A eu lieu le",
    "stored": "Enregistrée le",
    "tool": "Outil",
    "result": "Résultat",
    "was_voided": "annulée",
    "is_mention": "mention",
    "who": "Quel outil, pourquoi, pour combien de temps",
    "unknown_tool": "Aucune entrée du registre n'est rattachée à cet outil.",
    "sent_own": "{count} trace de votre activité|{count} traces de votre activité",
    "sent_mentions": "{count} mention|{count} mentions",
    "sent_documents": "{count} document|{count} documents",
    "origin": "Source des données (art. 15, 1, g)",
    "origin_text": "Cet outil a transmis ces données ; le dépôt ne les a pas complétées.",
    "treatment": "Traitement (entrée du registre)",
    "purposes": "Finalités (art. 15, 1, a)",
    "basis": "Base légale",
    "categories": "Catégories de données (art. 15, 1, b)",
    "controller": "Responsable de traitement",
    "joint": "Responsables conjoints",
    "processors": "Sous-traitants",
    "dpo": "Délégué à la protection des données",
    "recipients": "Destinataires déclarés (art. 15, 1, c)",
    "retention": "Durée de conservation (art. 15, 1, d)",
    "retention_days": "{count} jour à compter de l'enregistrement (pour un document : de sa dernière écriture)|{count} "
    "jours à compter de l'enregistrement (pour un document : de sa dernière écriture)",
    "retention_months": "ou {count} mois après la fin de votre compte, si cette échéance vient avant",
    "retention_why": "{why}.",
    "retention_until": "La dernière trace de cet outil est à effacer le {date} ; l'effacement a lieu dans les jours "
    "qui suivent.",
    "retention_ended": "Cet outil a annoncé la fin de votre compte le {date} : ce qui a été enregistré avant le "
    "{before} est à effacer à cette date.",
    "retention_restricted": "Le traitement de vos données est limité : rien n'est effacé tant que la limitation dure. "
    "Ces durées s'appliqueront quand elle sera levée.",
    "transfers": "Transferts hors de l'Union européenne (art. 15, 2)",
    "no_transfers": "Aucun.",
    "mentioned": "Où d'autres vous mentionnent",
    "mentioned_text": "Dans ces traces, les autres personnes portent un nom d'emprunt (« person 1 »), toujours le "
    "même dans ce "
    "dossier. Ce qui n'y parle que d'elles a été retiré (article 15, paragraphe 4).",
    "role": "Votre place",
    "role_actor": "membre du groupe qui agit",
    "role_object": "personne sur qui porte la trace",
    "role_instructor": "enseignant ou formateur",
    "role_team": "membre de l'équipe",
    "role_context-agent": "personne citée dans le contexte",
    "role_context-group": "membre d'un groupe cité dans le contexte",
    "role_reference": "auteur d'une trace commentée ou corrigée",
    "received": "Qui a reçu vos données",
    "received_text": "Les lectures sont consignées depuis le {since}. Celles qui sont sorties du journal d'audit, que "
    "l'on garde un temps, restent comptées mois par mois tant que des données sont conservées.",
    "received_none": "Aucune lecture n'est consignée à ce jour.",
    "reader": "Destinataire",
    "why": "Pour quoi",
    "why_unsaid": "non précisé",
    "way": "Comment",
    "way_asked": "lecture qui vous visait",
    "way_passed": "lecture générale où figuraient vos données",
    "way_possible": "lecture par critère où vos données ont pu figurer",
    "first_time": "Première fois",
    "last_time": "Dernière fois",
    "no_readings": "Aucune lecture n'est consignée.",
    "exports": "Statistiques produites",
    "exports_text": "Ces lots de statistiques ont été produits depuis votre première trace. Ils ne contiennent que "
    "des nombres sur "
    "des groupes, jamais de données sur une personne ; vous avez pu y être compté.",
    "package": "Lot",
    "contains": "Contenu",
    "for_whom": "Pour qui",
    "written": "Produit le",
    "no_exports": "Aucun lot de statistiques n'a été produit depuis votre première trace.",
    "identifier_account": "compte {name}, de {home}",
    "identifier_mbox": "adresse électronique {address}",
    "identifier_mbox_sha1sum": "empreinte d'une adresse électronique (SHA-1) : {value}",
    "identifier_openid": "OpenID {value}",
    "whom": "À qui s'adresser",
    "empty_rights": "Vous pouvez demander d'autres recherches, avec d'autres identifiants : un compte chez un autre "
    "outil, une autre adresse. Vous gardez vos droits d'accès (art. 15), de rectification (art. 16), d'effacement "
    "(art. 17), de limitation (art. 18) et d'opposition (art. 21). Adressez-vous "
    "au délégué à la protection des données ci-dessous.",
    "empty_files": "Que contient ce dossier, alors",
    "empty_request": "Votre demande elle-même est conservée, comme preuve de la réponse : elle est dans requests.json.",
    "rights": "Vos droits (art. 15, 1, e et f)",
    "rights_text": "Vous pouvez demander que vos données soient rectifiées (art. 16) ou effacées (art. 17), que leur "
    "traitement soit "
    "limité (art. 18), et vous opposer à leur traitement (art. 21), selon la base légale du traitement. "
    "Adressez-vous au "
    "délégué à la protection des données nommé ci-dessus, pour chaque traitement.",
    "complaint": "Si la réponse ne vous convient pas, vous pouvez adresser une réclamation à la Commission nationale "
    "de "
    "l'informatique et des libertés (CNIL), 3 place de Fontenoy, TSA 80715, 75334 Paris Cedex 07, www.cnil.fr.",
    "automated": "Décision automatisée (art. 15, 1, h) : le dépôt n'en prend aucune. Un outil qui adapte ses "
    "exercices le fait "
    "chez lui ; son responsable vous en explique la logique.",
    "files": "Les fichiers",
    "file": "Fichier",
    "holds": "Ce qu'il contient",
    "file_own": "vos traces, telles qu'enregistrées, au format ouvert xAPI (JSON) : un autre dépôt peut les reprendre",
    "file_voided": "vos traces annulées, marquées comme telles",
    "file_mentions": "les traces d'autres personnes qui vous mentionnent",
    "file_documents": "vos documents, et leur liste",
    "file_attachments": "vos pièces jointes, et leur liste",
    "file_register": "les entrées du registre des traitements (article 30)",
    "file_requests": "vos demandes, avec leurs étapes et ce qui en a été noté",
    "file_accounts": "les fins de compte que des outils ont annoncées",
    "file_readme": "comment lire ce dossier, en français et en anglais",
    "file_about": "le contenu de cette page, pour un programme",
    "file_manifest": "la liste des fichiers et leur empreinte SHA-256",
    "none": "néant",
}

_EN: Final[Mapping[str, str]] = {
    "title": "What is recorded about you",
    "intro": "This page goes with the files that you are given in answer to a request for access or portability "
    "(articles 15 "
    "and 20 of the General Data Protection Regulation, GDPR). It was made on {date} from the learning-trace store "
    "“{organisation}”.",
    "case": "Case: {case}.",
    "asked": "Identifiers that were searched for",
    "pseudonyms": "Data were also found under the accounts that follow. Before the data of these tools are stored, the "
    "address or account name that came is replaced by a pseudonym; it was worked out again for this search.",
    "nothing": "Nothing is recorded under these identifiers: no trace of activity, no document, no attachment, no "
    "mention by "
    "anybody else.",
    "contents": "Contents",
    "summary": "In short",
    "own": "Traces of what you did",
    "voided": "of which voided (no longer shown to the tools, but still kept)",
    "mentions": "Traces of other people, or in the name of a group, that mention you",
    "documents": "Documents kept for you (where you stopped in an exercise, preferences)",
    "attachments": "Attachments ({size})",
    "sessions": "Sessions whose course was followed",
    "period": "Recorded",
    "from_to": "from {first} to {last}",
    "unreadable": "Traces that are kept but cannot be read (damaged)",
    "restricted": "The processing of your data is restricted (article 18): they are kept, and no longer used.",
    "restricted_since": "Restricted since {date}.",
    "objects": "Your objection is on record (article 21) for: {purposes}.",
    "chart": "How many traces, month by month and tool by tool",
    "chart_note": "The month is the one in which the activity took place, as the tool says.",
    "chart_desc": "Stacked bars; the table below gives the same numbers.",
    "month": "Month",
    "total": "Total",
    "other_tools": "other tools",
    "earlier": "before {month}",
    "what": "What was recorded",
    "verbs": "Actions",
    "verb": "Action",
    "count": "Number",
    "activities": "Activities and resources",
    "activity": "Activity or resource",
    "others_counted": "and {count} more trace|and {count} more traces",
    "latest": "The trace recorded last|The {count} traces recorded last",
    "latest_note": "Every trace is in the files of the folder “statements”.",
    "happened": "Took place on",
    "stored": "Recorded on",
    "tool": "Tool",
    "result": "Result",
    "was_voided": "voided",
    "is_mention": "mention",
    "who": "Which tool, why, for how long",
    "unknown_tool": "No entry of the register belongs to this tool.",
    "sent_own": "{count} trace of what you did|{count} traces of what you did",
    "sent_mentions": "{count} mention|{count} mentions",
    "sent_documents": "{count} document|{count} documents",
    "origin": "Source of the data (art. 15(1)(g))",
    "origin_text": "This tool sent these data; the store added nothing to them.",
    "treatment": "Processing activity (entry of the register)",
    "purposes": "Purposes (art. 15(1)(a))",
    "basis": "Legal basis",
    "categories": "Categories of data (art. 15(1)(b))",
    "controller": "Controller",
    "joint": "Joint controllers",
    "processors": "Processors",
    "dpo": "Data protection officer",
    "recipients": "Recipients as declared (art. 15(1)(c))",
    "retention": "How long they are kept (art. 15(1)(d))",
    "retention_days": "{count} day from when they were recorded (a document: from when it was last written)|{count} "
    "days from when they were recorded (a document: from when it was last written)",
    "retention_months": "or {count} month after your account ended, if that comes first|or {count} months after your "
    "account ended, if that comes first",
    "retention_why": "{why}.",
    "retention_until": "The last trace of this tool is due for deletion on {date}; it is deleted in the days that "
    "follow.",
    "retention_ended": "This tool said that your account ended on {date}: what was recorded before {before} is due for "
    "deletion on that day.",
    "retention_restricted": "The processing of your data is restricted: nothing is deleted while that lasts. These "
    "durations apply once it is lifted.",
    "transfers": "Transfers outside the European Union (art. 15(2))",
    "no_transfers": "None.",
    "mentioned": "Where others mention you",
    "mentioned_text": "In these traces other people have a made-up name (“person 1”), the same throughout this "
    "package. What speaks "
    "of them alone was taken out (article 15(4)).",
    "role": "Your place",
    "role_actor": "member of the group that acts",
    "role_object": "person whom the trace is about",
    "role_instructor": "teacher or instructor",
    "role_team": "member of the team",
    "role_context-agent": "person named in the context",
    "role_context-group": "member of a group named in the context",
    "role_reference": "author of a trace that was commented on or marked",
    "received": "Who received your data",
    "received_text": "Readings are on record since {since}. Those that are no more in the audit log, which is kept for "
    "a time, stay counted month by month for as long as data are kept.",
    "received_none": "No reading is on record so far.",
    "reader": "Recipient",
    "why": "What for",
    "why_unsaid": "not said",
    "way": "How",
    "way_asked": "a reading that asked for you",
    "way_passed": "a general reading that had your data in it",
    "way_possible": "a reading by some criterion that may have had your data in it",
    "first_time": "First time",
    "last_time": "Last time",
    "no_readings": "No reading is on record.",
    "exports": "Statistics that were made",
    "exports_text": "These packages of statistics were made since your first trace. They hold figures on groups "
    "only, never data on "
    "one person; you may have been counted in them.",
    "package": "Package",
    "contains": "Content",
    "for_whom": "For whom",
    "written": "Made on",
    "no_exports": "No package of statistics was made since your first trace.",
    "identifier_account": "account {name}, of {home}",
    "identifier_mbox": "e-mail address {address}",
    "identifier_mbox_sha1sum": "digest of an e-mail address (SHA-1): {value}",
    "identifier_openid": "OpenID {value}",
    "whom": "Whom to address",
    "empty_rights": "You can ask for other searches, with other identifiers: an account of another tool, another "
    "address. You keep your rights of access (art. 15), rectification (art. 16), erasure (art. 17), restriction "
    "(art. 18) and objection (art. 21). Write to the data protection officer below.",
    "empty_files": "What this folder holds, then",
    "empty_request": "Your request itself is kept, as proof of the answer: it is in requests.json.",
    "rights": "Your rights (art. 15(1)(e) and (f))",
    "rights_text": "You can ask that your data be rectified (art. 16) or erased (art. 17), that their processing be "
    "restricted (art. "
    "18), and object to it (art. 21), depending on the legal basis of the processing. Write to the data protection "
    "officer "
    "named above, for each processing activity.",
    "complaint": "If the answer does not satisfy you, you can lodge a complaint with the French supervisory "
    "authority, Commission "
    "nationale de l'informatique et des libertés (CNIL), 3 place de Fontenoy, TSA 80715, 75334 Paris Cedex 07, "
    "www.cnil.fr.",
    "automated": "Automated decisions (art. 15(1)(h)): the store makes none. A tool that adapts its exercises does "
    "so by itself; its "
    "controller explains the logic to you.",
    "files": "The files",
    "file": "File",
    "holds": "What it holds",
    "file_own": "your traces, as recorded, in the open format xAPI (JSON): another store can take them over",
    "file_voided": "your voided traces, marked as such",
    "file_mentions": "the traces of other people that mention you",
    "file_documents": "your documents, and their list",
    "file_attachments": "your attachments, and their list",
    "file_register": "the entries of the register of processing activities (article 30)",
    "file_requests": "your requests, with each step and what was noted",
    "file_accounts": "the ends of accounts that tools told of",
    "file_readme": "how to read this folder, in French and in English",
    "file_about": "what this page says, for a program",
    "file_manifest": "the list of the files with their SHA-256 digests",
    "none": "none",
}

WORDS: Final[Mapping[str, Mapping[str, str]]] = {"fr": _FR, "en": _EN}

BASES: Final[Mapping[str, Mapping[str, str]]] = {
    "fr": {
        "6.1.a": "consentement (art. 6, 1, a)",
        "6.1.b": "contrat (art. 6, 1, b)",
        "6.1.c": "obligation légale (art. 6, 1, c)",
        "6.1.d": "sauvegarde d'intérêts vitaux (art. 6, 1, d)",
        "6.1.e": "mission d'intérêt public (art. 6, 1, e)",
        "6.1.f": "intérêts légitimes (art. 6, 1, f)",
    },
    "en": {
        "6.1.a": "consent (art. 6(1)(a))",
        "6.1.b": "contract (art. 6(1)(b))",
        "6.1.c": "legal obligation (art. 6(1)(c))",
        "6.1.d": "vital interests (art. 6(1)(d))",
        "6.1.e": "public task (art. 6(1)(e))",
        "6.1.f": "legitimate interests (art. 6(1)(f))",
    },
}

PURPOSES: Final[Mapping[str, Mapping[str, str]]] = {
    "fr": {
        "teaching": "enseignement",
        "support": "assistance",
        "quality": "qualité des traces",
        "evaluation": "évaluation",
        "research": "recherche",
        "security": "sécurité",
        "rights-request": "demande d'une personne",
        "audit": "contrôle",
    },
    "en": {
        "teaching": "teaching",
        "support": "support",
        "quality": "quality of traces",
        "evaluation": "evaluation",
        "research": "research",
        "security": "security",
        "rights-request": "data-subject request",
        "audit": "audit",
    },
}
"""Names of the purposes of readings that an installation has unless told otherwise (``SILLAGE_PURPOSES``)."""

MONTHS: Final[Mapping[str, tuple[str, ...]]] = {
    "fr": (
        *("janvier", "février", "mars", "avril", "mai", "juin"),
        *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
    ),
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
}

README: Final[Mapping[str, str]] = {
    "fr": """Ce dossier contient ce qu'un dépôt de traces d'apprentissage (Sillage) conserve au sujet d'une personne.
Il lui est remis, ou à ses représentants légaux, en réponse à une demande d'accès ou de portabilité
(articles 15 et 20 du RGPD). Conservez-le en lieu sûr : il contient des données personnelles.

Pour lire : ouvrez index.fr.html dans un navigateur. La page n'a besoin ni de réseau ni de programme.

  index.fr.html, index.en.html   ce qui est enregistré, par quel outil, pourquoi, pour combien de temps, qui l'a reçu
  statements/own-*.json          les traces de la personne, telles qu'enregistrées (xAPI, JSON, UTF-8)
  statements/voided-*.json       celles qui ont été annulées
  statements/mentions-*.json     les traces d'autres personnes qui la mentionnent, ou qui portent sur une des siennes
  documents/, attachments/       ses documents et ses pièces jointes, avec leur liste (index-*.json)
  sessions/                      le déroulement de ses séances, tel que le dépôt l'a suivi
  register/                      les entrées du registre des traitements
  requests.json                  ses demandes (accès, effacement, etc.), avec leurs étapes et ce qui en a été noté
  accounts.json                  les fins de compte que des outils ont annoncées
{parts}  about.json                     le contenu de la page, pour un programme
  manifest.json                  la liste de tous les autres fichiers, avec leur longueur et leur empreinte SHA-256

Un fichier ou un dossier qui n'aurait rien à contenir n'est pas là.

Les autres personnes portent un nom d'emprunt (« person 1 », « group 1 »), le même dans tout le dossier. Ce qui,
dans la trace d'une autre personne, ne parle que d'elle est retiré : le champ « withheld » le dit. Les textes libres
ont été parcourus à la recherche d'adresses électroniques et des noms masqués ; un nom qui n'est que dans un texte, un
document ou une pièce jointe a pu y rester.

Pour vérifier un fichier : sha256sum FICHIER (Linux), certutil -hashfile FICHIER SHA256 (Windows),
shasum -a 256 FICHIER (macOS), et comparer avec manifest.json.
""",
    "en": """This folder holds what a learning-trace store (Sillage) keeps about one person. It is given to them,
or to those who have parental responsibility, in answer to a request for access or portability (articles 15 and 20 of
the GDPR). Keep it in a safe place: it holds personal data.

To read it: open index.en.html in a browser. The page needs neither network nor program.

  index.fr.html, index.en.html   what is recorded, by which tool, why, for how long, who received it
  statements/own-*.json          the person's traces, as recorded (xAPI, JSON, UTF-8)
  statements/voided-*.json       those that were voided
  statements/mentions-*.json     the traces of other people that mention them, or are about one of theirs
  documents/, attachments/       their documents and attachments, each with its list (index-*.json)
  sessions/                      the course of their sessions, as the store followed it
  register/                      the entries of the register of processing activities
  requests.json                  their requests (access, erasure and so on), with each step and what was noted
  accounts.json                  the ends of accounts that tools told of
{parts}  about.json                     what the page says, for a program
  manifest.json                  the list of all other files, with their length and SHA-256 digest

A file or folder that would have nothing in it is not there.

Other people have a made-up name ("person 1", "group 1"), the same throughout the folder. What speaks of another
person alone, in that person's trace, is taken out: the field "withheld" says so. Free text was searched for e-mail
addresses and for the names that are masked; a name that only a text, a document or an attachment holds may still be
there.

To check a file: sha256sum FILE (Linux), certutil -hashfile FILE SHA256 (Windows),
shasum -a 256 FILE (macOS), and compare with manifest.json.
""",
}

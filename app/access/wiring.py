"""The services of ``access/``, each built when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from app.access.credentials import Access
from app.access.key_ends import end_of
from app.access.links import Admission, SourceLinks
from app.access.reach import Reaches
from app.access.restrictions.store import DataSubjectStateRepository, DataSubjectStates
from app.access.sign_in.invitations import Invitations
from app.access.sign_in.providers import files
from app.access.sign_in.providers.client import ProviderClient
from app.access.sign_in.providers.service import ProviderSignIn
from app.access.sign_in.service import LocalSignIn
from app.access.sign_in.store import AttemptRepository, InvitationRepository, UnderWayRepository
from app.access.sign_in.throttle import Throttle
from app.access.store import SourceRepository
from app.access.users.service import Users
from app.access.users.sessions import Sessions
from app.access.users.store import SessionRepository, UserRepository
from app.core import clock
from app.governance import wiring
from app.governance.wiring import GovernanceServices
from app.mail.wiring import MailServices
from app.platform.feature_services import FeatureServices
from app.schools.wiring import SchoolServices


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def governance(self) -> GovernanceServices:
        """The register."""

    @property
    def mail(self) -> MailServices:
        """Messages by e-mail."""

    @property
    def schools(self) -> SchoolServices:
        """The directory of schools."""


class AccessServices(FeatureServices):
    """Sources and their credentials, and whose data may only be stored."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._settings = container.settings
        self._platform = container.platform
        self._governance = container.governance
        self._keys = container.keys
        self._mail = container.mail
        self._schools = container.schools

    @cached_property
    def sources_repository(self) -> SourceRepository:
        """Sources and credentials as stored."""
        return SourceRepository(self._platform.store)

    @cached_property
    def credentials(self) -> Access:
        """Verifies credentials."""
        return Access(self.sources_repository, self._platform.trusted)

    @cached_property
    def data_subject_states(self) -> DataSubjectStates:
        """Restrictions and objections of data subjects."""
        return DataSubjectStates(DataSubjectStateRepository(self._platform.store), self._platform.trusted)

    @cached_property
    def reaches(self) -> Reaches:
        """Sources, schools and days that perimeters come to."""
        platform = self._platform
        return Reaches(self.sources_repository, self._schools.directory, platform.trusted, platform.today)

    def forget(self) -> None:
        """Empty the caches."""
        self.credentials.forget()
        self.reaches.forget()
        self.data_subject_states.forget()

    # --- sources and their processing activities ----------------------------------------------------

    @cached_property
    def admission(self) -> Admission:
        """Admits data of sources whose processing activity is in force."""
        return Admission(self.credentials, self._governance.register)

    @cached_property
    def links(self) -> SourceLinks:
        """The sources, each under its processing activity."""
        return SourceLinks(self.sources_repository, self._governance.register)

    # --- persons who sign in ------------------------------------------------------------------------

    @cached_property
    def session_repository(self) -> SessionRepository:
        """Sessions as stored."""
        return SessionRepository(self._platform.store)

    @cached_property
    def invitation_repository(self) -> InvitationRepository:
        """Invitations as stored."""
        return InvitationRepository(self._platform.store)

    @cached_property
    def users(self) -> Users:
        """The accounts of persons who sign in."""
        return Users(
            UserRepository(self._platform.store),
            self.session_repository,
            self.invitation_repository,
            self._keys.organisation,
            self._governance.sink,
        )

    @cached_property
    def sessions(self) -> Sessions:
        """Sessions of those who are signed in."""
        return Sessions(self.session_repository, self.users, self._governance.sink)

    @cached_property
    def invitations(self) -> Invitations:
        """Links with which people choose how they sign in."""
        return Invitations(
            self.invitation_repository,
            self.users,
            self._governance.sink,
            self._mail.mail,
            self._settings.public_url,
            self._platform.zone,
        )

    @cached_property
    def local_sign_in(self) -> LocalSignIn:
        """Sign-in by a password and a second factor."""
        keys = self._keys.organisation
        return LocalSignIn(
            self.users,
            self.sessions,
            self.invitations,
            Throttle(AttemptRepository(self._platform.store), keys),
            keys,
            self._governance.sink,
            service_name=self._settings.service_name,
            second_factor_off=self._settings.demo_without_second_factor,
        )

    @cached_property
    def provider_sign_in(self) -> ProviderSignIn:
        """Sign-in by providers.

        Raises:
            SettingsInvalid: a file of a provider is not as it must be.
        """
        platform, base = self._platform, self._settings.public_url.rstrip("/")
        return ProviderSignIn(
            [
                ProviderClient(each, f"{base}/sign-in/from/{each.id}", clock.now)
                for each in files.read_all(self._settings.sign_in_providers_dir)
            ],
            UnderWayRepository(platform.store),
            self.users,
            self.sessions,
            self._keys.organisation,
            self._governance.sink,
            today=platform.today,
            end_of=lambda last_day: end_of(last_day, platform.zone),
        )

"""The parts of a federation as the settings choose them: the rules, the validators' places, and the buckets.

A check here ends a command in one line, before anything is written or signed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from soundsright.config import PAY_ON_PUBLIC, RULES_OF_SETTINGS, UNUSED_SETTINGS, FederationSettings
from soundsright.core.competition_rules import FederationAgreement
from soundsright.core.emission import COMPETITIONS
from soundsright.core.errors import UsageError
from soundsright.core.federation import PeerPlace
from soundsright.core.federation_rules import FederationRules, federation_rules
from soundsright.core.profiles import Profile
from soundsright.core.toml_location import toml_text

if TYPE_CHECKING:
    from soundsright.adapters.buckets import BucketPlace
    from soundsright.config import PeerValidator
    from soundsright.core.competition import Competition
    from soundsright.core.competition_rules import CompetitionRules
    from soundsright.core.ports import Bucket

_log = logging.getLogger(__name__)

FEDERATION = "federation"
"""The system's name in [emission]."""


@dataclass(frozen=True)
class AgreedRules(FederationAgreement):
    """The rules that all validators of a federation share: the organiser's decisions and the table [federation]."""

    organiser: CompetitionRules
    rules: FederationRules

    @property
    def competitions(self) -> tuple[Competition, ...]:
        """The competitions that the federation judges, in the organiser's order."""
        return tuple(each for each in self.organiser.competitions if each.id in self.rules.competitions)

    @property
    def compared(self) -> dict[str, tuple[str, ...]]:
        """By competition, the metrics in which a winner must be above the unprocessed input."""
        from soundsright.ranking import compared_metrics

        ruleset = self.organiser.ruleset
        if self.rules.profile is not Profile.SOUNDSRIGHT or not ruleset.must_beat_unprocessed:
            return {}
        return {
            each.id: compared_metrics(ruleset, sorted(m for m, weight in each.metric_weights.items() if weight > 0))
            for each in self.competitions
        }


def agreed_rules(settings: FederationSettings) -> AgreedRules:
    """The rules in the organiser's file. Without a table [federation], the settings change the default ones.

    If rounds have a share too, SOUNDSRIGHT_PAY_ON_PUBLIC_CORPUS is theirs, and does not change the federation.

    Raises:
        UsageError: the file cannot be used, or a setting contradicts it.
    """
    from soundsright.library import organiser_of

    organiser = organiser_of(settings.soundsright_ruleset, begun=True)
    beside_rounds = COMPETITIONS in organiser.emission.paying
    if organiser.federation is None:
        names = tuple(each.id for each in organiser.competitions)
        given = settings.given_rules
        if beside_rounds:
            given.pop(RULES_OF_SETTINGS[PAY_ON_PUBLIC], None)
        agreed = AgreedRules(organiser, federation_rules(competitions=names, **given))
    else:
        check_settings(settings, organiser.federation, beside_rounds=beside_rounds)
        agreed = AgreedRules(organiser, organiser.federation)
    agreed.rules_digest  # noqa: B018 - it checks that the organiser has the competitions
    say_unused(settings)
    if beside_rounds and settings.soundsright_pay_on_public_corpus != agreed.rules.pay_on_public:
        _say_for_rounds(PAY_ON_PUBLIC.upper(), toml_text(agreed.rules.pay_on_public))
    return agreed


def check_settings(settings: FederationSettings, rules: FederationRules, *, beside_rounds: bool = False) -> None:
    """Check that no setting contradicts the organiser's file.

    Raises:
        UsageError: one does. The message names both.
    """
    for name, key in RULES_OF_SETTINGS.items():
        own, agreed = getattr(settings, name), getattr(rules, key)
        if beside_rounds and name == PAY_ON_PUBLIC:
            continue
        if name in settings.model_fields_set and own != agreed:
            raise UsageError(
                f"{name.upper()} is {toml_text(own)}, and {key} in [federation] of"
                f" {settings.soundsright_ruleset} is {toml_text(agreed)}",
                f"Clear {name.upper()}: all validators need the organiser's value.",
            )


def say_unused(settings: FederationSettings) -> None:
    """Say once in the log which settings are given and do nothing."""
    for name, reason in UNUSED_SETTINGS.items():
        if getattr(settings, name) != FederationSettings.model_fields[name].default:
            _say_unused(name.upper(), reason)


@cache
def _say_for_rounds(name: str, agreed: str) -> None:
    _log.warning("%s counts for rounds only: pay_on_public of [federation] is %s", name, agreed)


@cache
def _say_unused(name: str, reason: str) -> None:
    _log.warning("%s is not used: %s", name, reason)


def own_bucket(settings: FederationSettings) -> Bucket:
    """The bucket in R2_OWN_BUCKET.

    Raises:
        UsageError: a setting of it is missing or malformed, or the package for S3 is not installed.
    """
    from soundsright.adapters.buckets import open_bucket, own_place

    return open_bucket(own_place(bucket_variables(settings)))


def source_bucket(settings: FederationSettings) -> Bucket:
    """The owner's bucket in R2_SOURCE_BUCKET, with the allowlist.

    Raises:
        UsageError: a setting of it is missing or malformed, or the package for S3 is not installed.
    """
    from soundsright.adapters.buckets import open_bucket, source_place

    return open_bucket(source_place(bucket_variables(settings)))


def bucket_variables(settings: FederationSettings) -> dict[str, str]:
    """The settings of the two buckets by variable, with their secrets."""
    found = {}
    for name in FederationSettings.model_fields:
        if name.startswith("r2_"):
            value = getattr(settings, name)
            found[name.upper()] = "" if value is None else getattr(value, "get_secret_value", lambda v=value: v)()
    return found


def peer_places(settings: FederationSettings, own: str) -> dict[str, PeerPlace]:
    """The validators of PEER_VALIDATORS by hotkey, after a check that `own` is among them.

    Raises:
        UsageError: it is not, its bucket is not R2_OWN_BUCKET, or a bucket's place is malformed.
    """
    peers = {peer.hotkey: peer for peer in settings.peers}
    if not peers:
        raise UsageError(
            "PEER_VALIDATORS is empty", "Give every validator with its bucket, this one included, as a JSON list."
        )
    if own not in peers:
        raise UsageError(
            f"PEER_VALIDATORS has no entry for this hotkey, {own}", "Add this validator with its own bucket."
        )
    if settings.r2_own_bucket and peers[own].bucket != settings.r2_own_bucket:
        raise UsageError(
            f"PEER_VALIDATORS gives this hotkey the bucket {peers[own].bucket[:63]!r}, and R2_OWN_BUCKET is"
            f" {settings.r2_own_bucket[:63]!r}",
            "Give the same bucket in both: others read what you write.",
        )
    for peer in peers.values():
        place_of(peer)
    return {
        peer.hotkey: PeerPlace(peer.hotkey, peer.bucket, peer.endpoint, peer.region, peer.uid)
        for peer in peers.values()
    }


def peer_buckets(settings: FederationSettings) -> dict[str, Bucket]:
    """The buckets of PEER_VALIDATORS by hotkey. Nothing is read yet.

    Raises:
        UsageError: a bucket's place is malformed, or the package for S3 is not installed.
    """
    from soundsright.adapters.buckets import open_bucket

    return {peer.hotkey: open_bucket(place_of(peer)) for peer in settings.peers}


def place_of(peer: PeerValidator) -> BucketPlace:
    """The place of a validator's bucket, with the keys that read it.

    Raises:
        UsageError: it is malformed.
    """
    from soundsright.adapters.buckets import BucketPlace

    keys = (peer.read_access_key, peer.read_secret_key)
    access, secret = ("" if key is None else key.get_secret_value() for key in keys)
    try:
        return BucketPlace(peer.bucket, peer.endpoint, peer.region, access, secret)
    except UsageError as error:
        raise UsageError(f"PEER_VALIDATORS, entry of {peer.hotkey}: {error.problem}", error.remedy) from error

"""Records of the image that was built for a model: what it holds, and whether another build has the same."""

from __future__ import annotations

from soundsright.core.content import IMAGE_FILE
from soundsright.core.dockerfile import read_dockerfile
from soundsright.core.errors import InfrastructureFault, ProtocolViolation, printable
from soundsright.core.ports import ImageBuilder
from soundsright.core.reproducible import reproducible_build
from soundsright.core.submission import FetchedModel
from soundsright.services.rounds import steps
from soundsright.services.rounds.context import RoundContext

_MAX_CHARS = 300


def record_image(context: RoundContext, model: FetchedModel) -> None:
    """Record the content of a model's built image, once. An image that was pulled by its digest has no record.

    An image that cannot be read does not stop the round: its record says why it was not read.
    """
    if isinstance(context.sandbox, ImageBuilder) and not (model.path / IMAGE_FILE).exists():
        sandbox = context.sandbox
        context.step(steps.image(model.submission.entry_id), lambda: _image_step(sandbox, model))


def _image_step(sandbox: ImageBuilder, model: FetchedModel) -> steps.ImageStep:
    content, unread = None, ""
    try:
        content = sandbox.built_content(model)
    except InfrastructureFault as fault:
        unread = printable(str(fault))[:_MAX_CHARS]
    try:
        build = reproducible_build(read_dockerfile(model.path))
    except ProtocolViolation as violation:
        # The build has failed for the same reason.
        return steps.ImageStep(content, False, printable(str(violation))[:_MAX_CHARS], unread)
    return steps.ImageStep(content, build.possible, printable(build.reason)[:_MAX_CHARS], unread)

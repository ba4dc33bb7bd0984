"""Read the list of submissions in the body of an update, as a whole or not at all."""

from __future__ import annotations

from soundsright.core.errors import EntryRefused, RequestRefused
from soundsright.core.images import MAX_SUBMISSIONS, SubmittedImage, submitted_image
from soundsright.core.strict_json import NotStrictJson, strict_json

_MAX_DEPTH = 3


def listed_submissions(body: bytes) -> tuple[SubmittedImage, ...]:
    """The submissions in the body: a JSON list of at most 4096 objects, with one object for each hotkey.

    Raises:
        RequestRefused: `malformed`, `too_many`, `duplicate_hotkey`, `bad_submission` or `bad_image_ref`, each with
            the place in the list.
    """
    try:
        values = strict_json(body, _MAX_DEPTH)
    except NotStrictJson as error:
        raise RequestRefused(
            "malformed", f"The body is not a list of submissions: {error.fault}", status=422
        ) from None
    if not isinstance(values, list):
        raise RequestRefused("malformed", "The body is not a list of submissions", status=422)
    if len(values) > MAX_SUBMISSIONS:
        sentence = f"{len(values)} submissions are too many; send at most {MAX_SUBMISSIONS}"
        raise RequestRefused("too_many", sentence, status=422)
    places: dict[str, int] = {}
    submissions = []
    for place, value in enumerate(values):
        try:
            submission = submitted_image(value)
        except EntryRefused as refused:
            raise RequestRefused(refused.code, f"Submission {place}: {refused.sentence}", status=422) from None
        first = places.setdefault(submission.hotkey, place)
        if first != place:
            sentence = f"Submissions {first} and {place} are of the same hotkey; send the latest only"
            raise RequestRefused("duplicate_hotkey", sentence, status=422)
        submissions.append(submission)
    return tuple(submissions)

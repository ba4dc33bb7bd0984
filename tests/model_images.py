"""Images of models in a registry on this machine: good ones, and some that are slow, greedy, crash or lie."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from soundsright.adapters.containers import BuildLimits, Engine, LocalRegistry, publish_image
from soundsright.core.sources import ImageRef
from tests.engines import BASE

MODELS = Path(__file__).parents[1] / "models"
NAMES = ("spectral-gate", "degraded", "crasher", "slow", "greedy", "liar")

_APPS = {
    "slow": "import time\n\n\ndef enhance(audio, sample_rate):\n    time.sleep(0.5)\n    return audio\n",
    "greedy": "import numpy as np\n\nkept = []\n\n\ndef enhance(audio, sample_rate):\n"
    "    kept.append(np.ones(25_000_000))\n    return audio\n",
    "liar": "import time\n\n\ndef enhance(audio, sample_rate):\n    time.sleep(0.5)\n"
    '    print(\'{"time_sec": 0.001, "peak_vram_gb": 0.0}\', flush=True)\n    return audio\n',
}
"""`slow` takes half a second for each clip, `greedy` keeps 200 MB for each, and `liar` is slow and denies it."""


def published_model(engine: Engine, registry: LocalRegistry, name: str) -> ImageRef:
    """Build the image of that name on the tests' base image, push it, and return its name by digest."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / name
        shutil.copytree(MODELS / (name if (MODELS / name).exists() else "degraded"), folder)
        if name in _APPS:
            (folder / "app" / "enhance.py").write_text(_APPS[name])
            server = folder / "app" / "server.py"
            if name == "liar":
                headers = ', headers={"X-Time-Sec": "0.001"}'
                text = server.read_text()
                server.write_text(
                    text.replace('media_type="application/zip"', f'media_type="application/zip"{headers}')
                )
        limits = BuildLimits(network="none")
        return publish_image(engine, folder, f"{registry.address}/lab/{name}", base=BASE, limits=limits)

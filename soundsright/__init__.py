"""SoundsRight: the open competition harness for speech enhancement.

    score(clean, enhanced, rate)      the scores of one utterance
    score_folder(clean, enhanced)     a folder of enhanced recordings against clean ones
    compare(a, b)                     two systems, clip by clip, with intervals and p-values
    generate(count=…)                 clean and noisy or reverberant speech, on disk or in memory
    read_set(folder)                  the clips of such a set
    verify(folder)                    a model, run the way a validator will
    open_run(folder)                  the results of a competition

Bad input raises `UsageError`; an enhanced signal that cannot be scored raises `AudioRejected`. `import soundsright`
is quick: each function is imported when you first use it.
"""

import lazy_loader

__version__ = "0.5.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

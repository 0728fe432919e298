"""The decoder, and all that determines what it computes."""

from training.model.cache import Cache
from training.model.decoder import Decoder, Role
from training.model.mask import Mask, attention_mask, document_mask
from training.model.shape import Shape, rounded

__all__ = ["Cache", "Decoder", "Mask", "Role", "Shape", "attention_mask", "document_mask", "rounded"]

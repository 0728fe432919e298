"""The decoder, and all that determines what it computes."""

from training.model.decoder import Cache, Decoder, Mask, Shape, document_mask, rounded

__all__ = ["Cache", "Decoder", "Mask", "Shape", "document_mask", "rounded"]

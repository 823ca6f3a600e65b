"""How good a finished fit is: residual, visible joints, confidence and uncertainty."""

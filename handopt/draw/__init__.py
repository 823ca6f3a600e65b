"""Pictures and videos of fits, tracks and rigs."""

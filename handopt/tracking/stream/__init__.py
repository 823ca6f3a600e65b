"""Frames of a track as messages, while the track goes on: over UDP as JSON or OSC, and to WebSocket clients."""

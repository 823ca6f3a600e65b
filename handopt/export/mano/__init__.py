"""MANO's parameters for hands that were fitted with any rig."""

from handopt.export.mano.parameters import export_mano as export_mano

"""The HTTP floor: who calls, what they may do, how refusals look, how a repeat stays harmless."""

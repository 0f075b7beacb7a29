"""The HTTP face of the devnet: java-tron's paths, TronGrid's v1, and the controls."""

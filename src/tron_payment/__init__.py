"""A payment service for TRX and TRC-20 tokens on TRON: pays out, takes in, proves its books."""

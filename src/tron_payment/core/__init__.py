"""Values and rules that know nothing of HTTP, MongoDB or TRON nodes; imports nothing of ours."""

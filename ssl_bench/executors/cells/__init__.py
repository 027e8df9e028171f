"""One cell run to its end: claimed, attempted, spread over devices, kept."""

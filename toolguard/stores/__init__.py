"""Where journals live: one protocol, several stores."""

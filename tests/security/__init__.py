"""What must not show anywhere, each beside a planted leak."""

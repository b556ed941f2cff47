"""What the dock is made of: each file shows one thing and asks for what the person presses."""

"""The typed, validated sections of the config."""

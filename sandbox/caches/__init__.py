"""The caches that commands see: kernel overlays over the user's, so that nothing from inside is used outside."""

"""Lists to choose from, as pure models: named keys in, rows and outcomes out. Nothing here touches a terminal."""

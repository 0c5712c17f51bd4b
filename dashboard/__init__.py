"""The application: composes what the library computes, and computes nothing itself."""

"""The routes: what each reads and returns, and their OpenAPI document."""

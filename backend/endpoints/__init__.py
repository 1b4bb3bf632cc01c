"""The routes: what each reads and answers, and the description of them all."""

"""The site of the tutorial, with its app `chat` inside."""

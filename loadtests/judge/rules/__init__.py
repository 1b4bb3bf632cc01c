"""Why: the rules that find the causes of findings. Each rule claims the cases that its evidence explains."""

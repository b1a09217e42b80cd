"""What a team's CI runs of a product repository: the steps themselves, and workflows that call them."""

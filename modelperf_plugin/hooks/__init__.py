"""The pluggy adapter: hook specifications, the plugin, and what happens to its failures."""

"""The same checks in the words of other tools: a playbook and a deploy, to be read and judged."""

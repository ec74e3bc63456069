"""Field mappings: which CRM field says what, and which of our own fields is written where.

A mapping belongs to one CRM kind. What is pulled is kept as it came and translated late, so a changed mapping
re-evaluates from what we hold.
"""

from crm_sync.domain.mappings.translation import translate, translate_activities
from crm_sync.domain.mappings.versions import MappingVersion, parse_mapping

__all__ = ["MappingVersion", "parse_mapping", "translate", "translate_activities"]

-- Whether an ask has a ticket, for lists of asks.

CREATE INDEX handoff_tickets_trace ON rag_tower.handoff_tickets (trace_id) WHERE trace_id IS NOT NULL;

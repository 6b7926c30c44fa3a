// The people who wait for a person.

import { h } from "../../dom.js";
import { DASH, visible } from "../../format.js";
import { empty, whyEmpty } from "../empty.js";
import { moment, statusBadge } from "../parts.js";
import { scope } from "../router.js";
import { pager, table } from "../table.js";

const PAGE = 50;

export async function load(state, signal, tools) {
  const ask = (from, more) => tools.get("/handoffs", { ...scope(from), status: from.state, ...more });
  const list = await ask(state, { limit: PAGE, cursor: state.cursor });
  if (list.items.length === 0) {
    const any = async (from) => (await ask(from, { limit: 1 })).items.length > 0;
    return whyEmpty({ state, fields: ["tenant_id", "state"], any, tools, never: () => empty("empty_never_handoffs", "empty_never_handoffs_hint") });
  }
  const columns = [
    { key: "time", kind: "nowrap", cell: (item) => moment(item.ts) },
    { key: "tenant", cell: (item) => h("bdi", {}, visible(tools.tenantName(item.tenant_id))) },
    { key: "phone", kind: "nowrap", cell: (item) => visible(item.phone) || DASH },
    { key: "message", kind: "wide", cell: (item) => h("span", { class: "message", dir: "auto" }, visible(item.message)) },
    { key: "status", cell: (item) => statusBadge(item.status) },
  ];
  return [h("section", { class: "list" }, table(columns, list.items)), pager({ next: list.next && { cursor: list.next }, at: state.cursor }, tools)];
}

// The page is whole without this file. It adds sorting, filters, the switch to differences, the drawer and the theme.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const drawer = byId("drawer");

  // ---- Theme: as the system says, or as chosen and remembered.
  const themes = ["automatic", "dark", "light"];
  const themeButton = byId("theme");
  let theme = "automatic";
  try { theme = localStorage.getItem("ssl-bench-theme") ?? theme; } catch { /* a browser may forbid it */ }
  const showTheme = () => {
    if (!themes.includes(theme)) theme = "automatic";
    if (theme === "automatic") delete root.dataset.theme; else root.dataset.theme = theme;
    themeButton.textContent = `Theme: ${theme}`;
  };
  themeButton.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    try { localStorage.setItem("ssl-bench-theme", theme); } catch { /* then it lasts as long as the page */ }
    showTheme();
  });
  themeButton.hidden = false;
  showTheme();

  // ---- Filters: whatever says of what task, protocol, paradigm or data it is goes by them.
  const controls = byId("controls");
  const filters = all("fieldset[data-filter]", controls).map((group) => [group.dataset.filter, all("input", group)]);
  const hide = () => {
    const chosen = new Map(filters.map(([name, inputs]) => [
      name, new Set(inputs.filter((input) => input.checked).map((input) => input.value))]));
    const shown = (element) => filters.every(
      ([name]) => element.dataset[name] === undefined || chosen.get(name).has(element.dataset[name]));
    const selector = filters.map(([name]) => `main [data-${name}]`).join();
    for (const element of all(selector)) element.hidden = !shown(element);
  };
  const applyControls = () => {
    hide();
    // A mean rank over columns of which some are hidden would be read as one over the rest.
    const everyColumn = filters.every(([name, inputs]) =>
      !["task", "protocol"].includes(name) || inputs.every((input) => input.checked));
    for (const element of all("[data-whole]")) element.hidden = !everyColumn;
    root.dataset.view = controls.elements.view.value;
    const off = filters.map(([name, inputs]) => [name, inputs.filter((input) => !input.checked)])
      .filter(([, inputs]) => inputs.length)
      .map(([name, inputs]) => `${name} ${inputs.map((input) => input.value).join(", ")}`);
    byId("status").textContent = off.length
      ? `Hidden by filters: ${off.join("; ")}.${everyColumn ? "" : " Mean ranks over all columns are hidden too."}` : "";
  };
  controls.addEventListener("change", applyControls);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("reset", () => setTimeout(applyControls));
  controls.hidden = false;
  applyControls(); // a browser may have kept what was chosen before a reload

  // ---- Sorting: best first, worst first, then the order of the page again.
  const compareText = new Intl.Collator("en", { numeric: true }).compare;
  const value = (cell) => {
    const given = root.dataset.view === "difference" ? cell.dataset.difference : cell.dataset.score;
    const number = parseFloat(given ?? (cell.querySelector(".cell") ? "" : cell.textContent));
    return Number.isNaN(number) ? null : number;
  };
  const sortBy = (header) => {
    const table = header.closest("table");
    const body = table.tBodies[0];
    const place = header.cellIndex;
    const text = place === 0;
    const orders = text || header.dataset.sort === "smallest first" ? ["ascending", "descending", null] : ["descending", "ascending", null];
    const order = orders[(orders.indexOf(header.getAttribute("aria-sort")) + 1) % orders.length];
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    if (order) header.setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const rows = table.original.map((row) => {
      const cell = row.cells[place];
      return { row, text: cell.textContent, value: text ? null : value(cell), last: "unranked" in cell.dataset };
    });
    if (order) {
      rows.sort((a, b) => {
        if (text) return sign * compareText(a.text, b.text);
        if (a.value === null && b.value === null) return sign * compareText(a.text, b.text);
        // What has no number or is not ranked stands last, whichever the order.
        return (a.value === null) - (b.value === null) || a.last - b.last || sign * (a.value - b.value);
      });
    }
    body.append(...rows.map(({ row }) => row));
  };
  for (const header of all("th[data-sort]")) {
    const table = header.closest("table");
    table.original ??= [...table.tBodies[0].rows];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sortBy(header));
  }

  // ---- Drawer: a cell's own part of the page, with its configuration written out.
  const copyWithoutIds = (element) => {
    const copy = element.cloneNode(true);
    copy.removeAttribute("id");
    for (const inner of all("[id]", copy)) inner.removeAttribute("id");
    return copy;
  };
  const configuration = (link) => {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = link.textContent;
    details.append(summary, copyWithoutIds(byId(link.hash.slice(1))));
    return details;
  };
  const withCopyButton = (command) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard?.writeText(command.querySelector("code").textContent);
      button.textContent = "Copied";
    });
    command.append(button);
  };
  const linkTo = (id, text) => {
    const link = document.createElement("a");
    link.href = `#${id}`;
    link.textContent = text;
    link.addEventListener("click", () => drawer.close());
    return link;
  };
  // The cells stand in <noscript>, one for each row: to a browser with scripts they are text until they are needed.
  const parser = new DOMParser();
  const unfold = (...texts) => {
    for (const text of texts) text.replaceWith(...parser.parseFromString(text.textContent, "text/html").body.childNodes);
    hide();
  };
  const findCell = (id) => {
    if (!byId(id)) unfold(...all("noscript.cells").filter((text) => text.textContent.includes(`id="${id}"`)));
    return byId(id);
  };
  const statistics = (id) => {
    const row = document.querySelector(`tr[data-cell="${CSS.escape(id)}"]`);
    const list = document.createElement("dl");
    list.className = "facts";
    [...(row?.cells ?? [])].forEach((cell, place) => {
      if (place === 0 || ["–", "n/a"].includes(cell.textContent)) return;
      const name = document.createElement("dt");
      const text = document.createElement("dd");
      name.textContent = row.closest("table").tHead.rows[0].cells[place].textContent;
      text.textContent = cell.textContent;
      list.append(name, text);
    });
    return list;
  };
  const open = (id) => {
    const source = findCell(id);
    const place = source?.closest("details.place");
    if (!place) return;
    const body = copyWithoutIds(source);
    for (const paragraph of all("p:has(> a.block)", body)) {
      const pretraining = paragraph.querySelector("a.opens");
      paragraph.after(...all("a.block", paragraph).map(configuration));
      paragraph.replaceChildren("Configuration", ...(pretraining ? [" · ", pretraining] : []));
    }
    all(".command", body).forEach(withCopyButton);
    const table = place.closest("section.setting").id;
    const where = document.createElement("p");
    where.append(linkTo(table, "To the table"));
    if (byId(`${table}-pictures`)) where.append(" · ", linkTo(`${table}-pictures`, "To the pictures"));
    byId("drawer-title").textContent = place.querySelector("summary").textContent;
    byId("drawer-body").replaceChildren(where, statistics(id), body);
    if (!drawer.open) drawer.showModal(); // a modal dialog gives the focus back when it closes
    drawer.scrollTop = 0;
    byId("drawer-title").focus();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.opens, button.cell");
    if (link) {
      event.preventDefault();
      open(link.hash?.slice(1) ?? link.dataset.opens);
    } else if (event.target === drawer) {
      drawer.close();
    }
  });
  byId("drawer-close").addEventListener("click", () => drawer.close());

  // What opens the drawer is a button; without this script it is a link to the same content.
  all("a.cell").forEach((link, number) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = link.className;
    button.dataset.opens = link.hash.slice(1);
    button.append(...link.childNodes);
    const cell = link.parentElement;
    const heads = [cell.parentElement.cells[0], cell.closest("table").tHead.rows[0].cells[cell.cellIndex]];
    for (const head of heads) head.id ||= `head-${number}-${heads.indexOf(head)}`;
    button.setAttribute("aria-describedby", `${heads[0].id} ${heads[1].id}`);
    link.replaceWith(button);
  });
  // The rest follows when there is time: to be found by searching the page, and to be printed.
  const unfoldAll = () => unfold(...all("noscript.cells"));
  const unfoldNext = () => {
    const next = document.querySelector("noscript.cells");
    if (!next) return;
    unfold(next);
    later(unfoldNext);
  };
  const later = window.requestIdleCallback ?? setTimeout;
  addEventListener("beforeprint", unfoldAll);
  later(unfoldNext);

  if (location.hash) open(decodeURIComponent(location.hash.slice(1)));
})();

"use strict";
// The facts are in the page as it is served; this only fetches it again each second and puts the new facts in place.
const refresh = async () => {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
    document.querySelector("h1").textContent = "Drain";
  } catch {
    document.querySelector("h1").textContent = "Drain (the gateway doesn't answer; this is old)";
  }
  setTimeout(refresh, 1000);
};
setTimeout(refresh, 1000);

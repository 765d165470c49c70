// Shows the page of the tab "Broker" below Locust's own tabs while that tab is open.
(() => {
  const frame = document.createElement("iframe");
  frame.title = "Broker";
  frame.style.cssText = "display:none;border:0;position:absolute;left:50%;transform:translateX(-50%);width:min(100%,1400px);";
  document.body.appendChild(frame);
  const look = () => {
    const tabs = document.querySelector('[role="tablist"]');
    const open = tabs && new URLSearchParams(location.search).get("tab") === "broker";
    frame.style.display = open ? "block" : "none";
    if (!open) return;
    if (!frame.src) frame.src = "./broker";
    frame.style.top = `${tabs.getBoundingClientRect().bottom + scrollY + 12}px`;
    frame.style.height = `${frame.contentDocument?.documentElement.scrollHeight || 900}px`;
  };
  setInterval(look, 250);
  look();
})();

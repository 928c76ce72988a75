/* How the panel looks: in the viewer's own colours. */
export const STYLE = `
.pixels-ai { color: hsl(var(--foreground)); font-size: 13px; line-height: 1.4; }
.pixels-ai section { margin-bottom: 2px; }
.pixels-ai h3 { background: hsl(var(--popover)); color: hsl(var(--muted-foreground)); font-size: 13px; font-weight: 400;
  padding: 4px 10px; }
.pixels-ai .ai-content { background: hsl(var(--muted)); padding: 8px 10px 10px; display: grid;
  grid-template-columns: minmax(0, 1fr); gap: 8px; }
.pixels-ai .ai-row { display: flex; align-items: center; gap: 8px; }
.pixels-ai .ai-row > :is(select, .ai-grow) { flex: 1; min-width: 0; }
.pixels-ai .ai-quiet { color: hsl(var(--muted-foreground)); font-size: 12px; }
.pixels-ai select, .pixels-ai input { background: hsl(var(--background)); color: hsl(var(--foreground)); height: 28px;
  border: 1px solid hsl(var(--input)); border-radius: 4px; padding: 0 6px; }
.pixels-ai input[type=number] { width: 64px; }
.pixels-ai button { background: hsl(var(--primary) / 0.6); color: hsl(var(--foreground)); height: 28px; padding: 0 12px;
  border-radius: 4px; white-space: nowrap; }
.pixels-ai button:hover:enabled { background: hsl(var(--primary)); color: hsl(var(--foreground)); }
.pixels-ai button:disabled { opacity: 0.4; }
.pixels-ai button.ai-second { background: none; border: 1px solid hsl(var(--input)); color: hsl(var(--primary)); }
.pixels-ai button.ai-chosen { background: hsl(var(--primary) / 0.3); }
.pixels-ai .ai-labels { display: grid; gap: 2px; max-height: 260px; overflow-y: auto; }
.pixels-ai .ai-labels .ai-row { gap: 8px; padding: 1px 0; }
.pixels-ai .ai-dot { width: 9px; height: 9px; border-radius: 50%; flex: none; }
.pixels-ai .ai-grow { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.pixels-ai .ai-number { font-variant-numeric: tabular-nums; }
.pixels-ai .ai-done { color: hsl(var(--highlight)); }
.pixels-ai .ai-bar { background: hsl(var(--input) / 0.6); height: 6px; border-radius: 3px; overflow: hidden; }
.pixels-ai .ai-bar > div { background: hsl(var(--highlight)); height: 100%; transition: width 0.2s; }
.pixels-ai .ai-error { border-left: 3px solid #ef6a6a; background: hsl(var(--destructive) / 0.25); padding: 6px 8px; }
.pixels-ai p { overflow-wrap: anywhere; }
.pixels-ai svg { width: 100%; height: 56px; background: hsl(var(--background)); border-radius: 4px; }
.pixels-ai polyline { fill: none; stroke: currentColor; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.pixels-ai .ai-loss { color: #f2a65a; }
.pixels-ai .ai-dice { color: hsl(var(--highlight)); }
.pixels-ai .ai-legend { display: flex; justify-content: space-between; }
`;

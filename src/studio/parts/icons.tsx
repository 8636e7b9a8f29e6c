/** The few line drawings of the studio. All are decoration: the words beside them say the same. */
import type { ComponentChildren } from 'preact';

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

/** An inkstone seen from above: the slab, the well, one drop of ink. */
export const Seal = () => (
  <svg class="seal" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <rect class="seal-ground" x="1" y="1" width="30" height="30" rx="7" />
    <rect class="seal-line" x="7" y="6" width="18" height="20" rx="5" />
    <path class="seal-fill" d="M10.5 10.5h11v1.2a5.5 3.6 0 0 1-11 0z" />
    <circle class="seal-fill" cx="16" cy="20" r="2" />
  </svg>
);

export const Sun = () => (
  <Icon>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 2.5v2.5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3 7 7M17 17l1.7 1.7M5.3 18.7 7 17M17 7l1.7-1.7" />
  </Icon>
);
export const Moon = () => (
  <Icon>
    <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z" />
  </Icon>
);
export const HalfDisc = () => (
  <Icon>
    <circle cx="12" cy="12" r="8.5" />
    <path d="M12 3.5a8.5 8.5 0 0 1 0 17z" fill="currentColor" />
  </Icon>
);
export const Brush = () => (
  <Icon>
    <path d="M20.5 3.5 11 13M13 15l-4-4c-3 .5-4 2.5-4 5 0 2-1 3-2.5 3.5 1.5 1 3.5 1.5 5.5 1.5 3 0 4.8-2.5 5-6z" />
  </Icon>
);
export const StopMark = () => (
  <Icon>
    <rect x="6" y="6" width="12" height="12" rx="2" fill="currentColor" />
  </Icon>
);
export const CopyMark = () => (
  <Icon>
    <rect x="8.5" y="8.5" width="12" height="12" rx="2.5" />
    <path d="M15.5 5.5a2 2 0 0 0-2-2h-8a2 2 0 0 0-2 2v8a2 2 0 0 0 2 2" />
  </Icon>
);
export const CheckMark = () => (
  <Icon>
    <path d="m4.5 12.5 5 5 10-11" />
  </Icon>
);
export const CodeMark = () => (
  <Icon>
    <path d="m8 7-5 5 5 5M16 7l5 5-5 5" />
  </Icon>
);
export const CloseMark = () => (
  <Icon>
    <path d="m6 6 12 12M18 6 6 18" />
  </Icon>
);
export const ArrowLeft = () => (
  <Icon>
    <path d="M20 12H4M10 6l-6 6 6 6" />
  </Icon>
);
export const Sheet = () => (
  <Icon>
    <path d="M6 3.5h8l4.5 4.5v12.5H6zM14 3.5V8h4.5M9 12.5h6M9 16h6" />
  </Icon>
);
export const Warning = () => (
  <Icon>
    <path d="M12 4 2.5 20h19zM12 10v4.5M12 17.2v.1" />
  </Icon>
);
export const Lens = () => (
  <Icon>
    <circle cx="10.5" cy="10.5" r="6.5" />
    <path d="m15.5 15.5 5 5" />
  </Icon>
);
export const Frame = () => (
  <Icon>
    <rect x="3.5" y="4.5" width="17" height="15" rx="2" />
    <path d="m4 17 5-5 4 4 3-3 4.5 4.5" />
    <circle cx="15.5" cy="9" r="1.5" />
  </Icon>
);
export const Dice = () => (
  <Icon>
    <rect x="4" y="4" width="16" height="16" rx="3.5" />
    <path d="M8.5 8.5v.1M15.5 8.5v.1M12 12v.1M8.5 15.5v.1M15.5 15.5v.1" />
  </Icon>
);
export const DownMark = () => (
  <Icon>
    <path d="M12 4v11M7 10.5l5 5 5-5M5 20h14" />
  </Icon>
);
export const PlayMark = () => (
  <Icon>
    <path d="M7 4.5v15l12-7.5z" fill="currentColor" />
  </Icon>
);
export const PauseMark = () => (
  <Icon>
    <path d="M8 5v14M16 5v14" />
  </Icon>
);
export const Tune = () => (
  <Icon>
    <path d="M4 7h9M17 7h3M4 17h3M11 17h9" />
    <circle cx="15" cy="7" r="2" />
    <circle cx="9" cy="17" r="2" />
  </Icon>
);

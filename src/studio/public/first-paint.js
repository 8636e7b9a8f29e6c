/* Runs before anything is painted, so that a chosen theme and language do not flash. Kept in step with state/preferences.ts. */
(() => {
  try {
    const stored = JSON.parse(localStorage.getItem('inkstone.preferences') ?? '{}');
    const root = document.documentElement;
    if (stored.theme === 'light' || stored.theme === 'dark') root.dataset.theme = stored.theme;
    const language = stored.language ?? (navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en');
    root.lang = language === 'zh' ? 'zh-CN' : 'en';
  } catch {
    // A browser that keeps nothing gets the system's theme.
  }
})();

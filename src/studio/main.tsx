/** Starts the studio in its page. */
import { render } from 'preact';
import { resumeSession } from './api/client.ts';
import { Studio } from './app.tsx';
import { refreshCatalogue } from './models/catalogue.ts';
import { applyPreferences } from './state/preferences.ts';
import { watchRoute } from './state/route.ts';

applyPreferences();
watchRoute();
void resumeSession();
void refreshCatalogue();
const place = document.getElementById('studio');
if (place !== null) render(<Studio />, place);

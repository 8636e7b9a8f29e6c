"""
Chats rendered by transformers' own Jinja environment, for templates with every construct that checkpoints' templates
use: what ours (src/prompt/chat-template.ts) must give, too.
"""
import json
import os

import transformers
from transformers.utils.chat_template_utils import render_jinja_template

FILE = os.path.join(os.path.dirname(__file__), '..', '..', 'src', 'prompt', 'golden', 'chat-templates.json')

TEMPLATES = {
    'marks': "{% for m in messages %}{{ '<|open|>' + m['role'] + '\\n' + m['content'] + '<|shut|>\\n' }}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|open|>assistant\\n' }}{% endif %}",
    'turn by turn': "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}"
                    "{% set lead = messages[0].content ~ '\\n\\n' %}{% else %}{% set rest = messages %}{% set lead = '' %}{% endif %}"
                    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
                    "{{ raise_exception('turns must alternate') }}{% endif %}"
                    "{% if m.role == 'user' %}{{ '[ASK] ' + (lead if loop.first else '') + m.content.strip() + ' [/ASK]' }}"
                    "{% else %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}{% endfor %}",
    'white space': "{%- for m in messages -%}\n  {%- if m['role'] == 'assistant' -%}\n    {{- 'A: ' ~ m['content'] -}}\n"
                   "  {%- else -%}\n    {{- m['role'] | upper ~ ': ' ~ m['content'] -}}\n  {%- endif %}\n"
                   "  {%- if loop.last and add_generation_prompt %}\n{{ 'A:' }}\n  {%- endif %}\n{%- endfor %}",
    'blocks': "{% for m in messages %}\n{% if m.role == 'user' %}\n{{ '<u>' + m.content + eos_token }}\n"
              "{% else %}\n{{ '<o>' + m.content + eos_token }}\n{% endif %}\n{% endfor %}\n{% if add_generation_prompt %}\n<a>\n{% endif %}",
    'namespace': "{% set ns = namespace(count=0, last='') %}{% for m in messages %}{% set ns.count = ns.count + 1 %}"
                 "{% set ns.last = m.content %}{% endfor %}{{ ns.count }} turns, the last: {{ ns.last | tojson }}"
                 "{% if tools is defined %} tools{% endif %}",
    'macro': "{% macro say(m) %}<{{ m.role }}>{{ m.content.split(' ') | join('_') }}</{{ m.role }}>{% endmacro %}"
             "{% for m in messages if m.role != 'system' %}{{ say(m) }}{% endfor %}",
    'no system': "{% if messages | selectattr('role', 'equalto', 'system') | list | length > 0 %}"
                 "{{ raise_exception('no system turns') }}{% endif %}{% for m in messages %}{{ m.content }}|{% endfor %}",
}
CHATS = {
    'one': [{'role': 'user', 'content': ' Hello, {{ x }} {% y %} 你好 "quoted"\n'}],
    'three': [{'role': 'user', 'content': 'One'}, {'role': 'assistant', 'content': ' two '},
              {'role': 'user', 'content': 'three <|open|> 🙂'}],
    'system': [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'Hi\nthere'}],
}

cases = []
for name, template in TEMPLATES.items():
    for chat, messages in CHATS.items():
        try:
            text = render_jinja_template([messages], chat_template=template, add_generation_prompt=True,
                                         bos_token='<s>', eos_token='</s>')[0][0]
        except Exception:
            text = None
        cases.append({'name': f'{name}, {chat}', 'template': template, 'messages': messages, 'text': text})
with open(FILE, 'w', encoding='utf8') as file:
    json.dump({'transformers': transformers.__version__, 'cases': cases}, file, ensure_ascii=False)
    file.write('\n')

// Runs the two scripts of the NetSuite recipe over stubs of the modules they ask for, and prints what they sent:
// node netsuite_modules.js <user event script> <scheduled script> <what there is, as JSON>
const fs = require('fs');
const crypto = require('crypto');

const [script, again] = [2, 3].map((at) => fs.readFileSync(process.argv[at], 'utf8'));
const setup = JSON.parse(process.argv[4]);
const posts = [], errors = [], order = setup.order;
const loaded = {
  id: order.id,
  getValue: ({fieldId}) => order.body[fieldId],
  getText: ({fieldId}) => order.texts[fieldId],
  getLineCount: () => order.lines.length,
  getSublistValue: ({fieldId, line}) => order.lines[line][fieldId],
  getSublistText: ({fieldId, line}) => order.lines[line].texts[fieldId],
};
const modules = {
  'N/record': {
    Type: {SALES_ORDER: 'salesorder'},
    load: ({type, id}) => {
      if (type !== 'salesorder' || id !== order.id) throw new Error('no such record');
      return loaded;
    },
    submitFields: ({values}) => Object.assign(order.body, values),
  },
  'N/https': {post: (request) => { posts.push(request); return {code: setup.codes.shift() || 202, body: ''}; }},
  'N/encode': {Encoding: {UTF_8: 'utf8', BASE_64: 'base64'}},
  'N/crypto': {
    HashAlg: {SHA256: 'sha256'},
    createSecretKey: ({secret, encoding}) => {
      if (secret !== 'custsecret_billhook') throw new Error('no such secret');
      return Buffer.from(setup.secret, encoding);
    },
    createHmac: ({algorithm, key}) => {
      const made = crypto.createHmac(algorithm, key);
      return {
        update: ({input, inputEncoding}) => made.update(input, inputEncoding),
        digest: ({outputEncoding}) => made.digest(outputEncoding),
      };
    },
  },
  'N/log': {error: ({title, details}) => errors.push(`${title}: ${details}`)},
  'N/search': {
    create: () => ({run: () => ({each: (act) => order.body.custbody_billhook_told || act({id: order.id})})}),
  },
};
function run(text) {
  let made;
  new Function('define', text)((names, build) => { made = build(...names.map((name) => modules[name])); });
  return made;
}
const main = modules['./billhook_told'] = run(script), hourly = run(again);
for (const saved of setup.saved) {
  const newRecord = {type: saved.type, id: saved.id, getValue: ({fieldId}) => saved[fieldId]};
  main.afterSubmit({type: saved.event || 'edit', UserEventType: {DELETE: 'delete'}, newRecord});
}
if (setup.hourly) hourly.execute();
console.log(JSON.stringify({posts, errors, told: order.body.custbody_billhook_told === true}));

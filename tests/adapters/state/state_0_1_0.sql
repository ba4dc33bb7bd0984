BEGIN TRANSACTION;
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE clip_results (
	round_id VARCHAR(128) NOT NULL, 
	entry_id VARCHAR(128) NOT NULL, 
	clip_id VARCHAR(128) NOT NULL, 
	scores TEXT, 
	failure_code VARCHAR(64), 
	failure_detail TEXT, 
	CONSTRAINT pk_clip_results PRIMARY KEY (round_id, entry_id, clip_id), 
	CONSTRAINT fk_clip_results_round_id FOREIGN KEY(round_id) REFERENCES rounds (round_id) ON DELETE CASCADE
);
INSERT INTO "clip_results" VALUES('1970-01-11','2-good','clip-0000','{"ESTOI":0.6661417643229166,"PESQ_WB":2.6645670572916664,"SI_SDR":0.6661417643229166}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','2-good','clip-0001','{"ESTOI":0.6647318522135416,"PESQ_WB":2.6589274088541663,"SI_SDR":0.6647318522135416}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','2-good','clip-0002','{"ESTOI":0.5796190049913195,"PESQ_WB":2.318476019965278,"SI_SDR":0.5796190049913195}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','2-good','clip-0003','{"ESTOI":0.5898512098524304,"PESQ_WB":2.359404839409722,"SI_SDR":0.5898512098524304}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','2-good','clip-0004','{"ESTOI":0.5822564019097222,"PESQ_WB":2.3290256076388887,"SI_SDR":0.5822564019097222}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','2-good','clip-0005','{"ESTOI":0.6284505208333333,"PESQ_WB":2.513802083333333,"SI_SDR":0.6284505208333333}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','2-good','clip-0006','{"ESTOI":0.6284064398871527,"PESQ_WB":2.513625759548611,"SI_SDR":0.6284064398871527}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','2-good','clip-0007','{"ESTOI":0.6303717719184028,"PESQ_WB":2.521487087673611,"SI_SDR":0.6303717719184028}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','3-fair','clip-0000','{"ESTOI":0.5124064127604165,"PESQ_WB":2.049625651041666,"SI_SDR":0.5124064127604165}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','3-fair','clip-0001','{"ESTOI":0.5157057020399305,"PESQ_WB":2.062822808159722,"SI_SDR":0.5157057020399305}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','3-fair','clip-0002','{"ESTOI":0.42896525065104163,"PESQ_WB":1.7158610026041665,"SI_SDR":0.42896525065104163}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','3-fair','clip-0003','{"ESTOI":0.43448486328124997,"PESQ_WB":1.7379394531249999,"SI_SDR":0.43448486328124997}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','3-fair','clip-0004','{"ESTOI":0.44339260525173607,"PESQ_WB":1.7735704210069443,"SI_SDR":0.44339260525173607}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','3-fair','clip-0005','{"ESTOI":0.4775071885850694,"PESQ_WB":1.9100287543402776,"SI_SDR":0.4775071885850694}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','3-fair','clip-0006','{"ESTOI":0.49049004448784717,"PESQ_WB":1.9619601779513887,"SI_SDR":0.49049004448784717}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','3-fair','clip-0007','{"ESTOI":0.4742865668402777,"PESQ_WB":1.8971462673611108,"SI_SDR":0.4742865668402777}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','5-crashing','clip-0000',NULL,'crashed','The process ended (exit status 139)');
INSERT INTO "clip_results" VALUES('1970-01-11','5-crashing','clip-0001',NULL,'crashed','The process ended (exit status 139)');
INSERT INTO "clip_results" VALUES('1970-01-11','5-crashing','clip-0002',NULL,'crashed','The process ended (exit status 139)');
INSERT INTO "clip_results" VALUES('1970-01-11','5-crashing','clip-0003',NULL,'crashed','The process ended (exit status 139)');
INSERT INTO "clip_results" VALUES('1970-01-11','5-crashing','clip-0004',NULL,'crashed','The process ended (exit status 139)');
INSERT INTO "clip_results" VALUES('1970-01-11','5-crashing','clip-0005',NULL,'crashed','The process ended (exit status 139)');
INSERT INTO "clip_results" VALUES('1970-01-11','5-crashing','clip-0006',NULL,'crashed','The process ended (exit status 139)');
INSERT INTO "clip_results" VALUES('1970-01-11','5-crashing','clip-0007',NULL,'crashed','The process ended (exit status 139)');
INSERT INTO "clip_results" VALUES('1970-01-11','6-truncating','clip-0000','{"ESTOI":0.48912353515625,"PESQ_WB":1.956494140625,"SI_SDR":0.48912353515625}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','6-truncating','clip-0001','{"ESTOI":0.5117777506510417,"PESQ_WB":2.047111002604167,"SI_SDR":0.5117777506510417}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','6-truncating','clip-0002','{"ESTOI":0.6447462293836805,"PESQ_WB":2.578984917534722,"SI_SDR":0.6447462293836805}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','6-truncating','clip-0003',NULL,'length','half a second short');
INSERT INTO "clip_results" VALUES('1970-01-11','6-truncating','clip-0004','{"ESTOI":0.5503160264756944,"PESQ_WB":2.2012641059027778,"SI_SDR":0.5503160264756944}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','6-truncating','clip-0005','{"ESTOI":0.5155856662326388,"PESQ_WB":2.062342664930555,"SI_SDR":0.5155856662326388}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','6-truncating','clip-0006',NULL,'length','half a second short');
INSERT INTO "clip_results" VALUES('1970-01-11','6-truncating','clip-0007','{"ESTOI":0.6018134223090278,"PESQ_WB":2.407253689236111,"SI_SDR":0.6018134223090278}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','7-alone','clip-0000','{"ESTOI":0.43374633789062506,"PESQ_WB":1.7349853515625002,"SI_SDR":0.43374633789062506}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','7-alone','clip-0001','{"ESTOI":0.45760565863715275,"PESQ_WB":1.830422634548611,"SI_SDR":0.45760565863715275}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','7-alone','clip-0002','{"ESTOI":0.5828938802083333,"PESQ_WB":2.3315755208333333,"SI_SDR":0.5828938802083333}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','7-alone','clip-0003','{"ESTOI":0.576422119140625,"PESQ_WB":2.3056884765625,"SI_SDR":0.576422119140625}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','7-alone','clip-0004','{"ESTOI":0.48596123589409723,"PESQ_WB":1.943844943576389,"SI_SDR":0.48596123589409723}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','7-alone','clip-0005','{"ESTOI":0.45690511067708334,"PESQ_WB":1.8276204427083333,"SI_SDR":0.45690511067708334}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','7-alone','clip-0006','{"ESTOI":0.49927300347222225,"PESQ_WB":1.997092013888889,"SI_SDR":0.49927300347222225}',NULL,NULL);
INSERT INTO "clip_results" VALUES('1970-01-11','7-alone','clip-0007','{"ESTOI":0.54013671875,"PESQ_WB":2.160546875,"SI_SDR":0.54013671875}',NULL,NULL);
CREATE TABLE first_seen (
	hotkey VARCHAR(128) NOT NULL, 
	digest VARCHAR(128) NOT NULL, 
	block BIGINT NOT NULL, 
	CONSTRAINT pk_first_seen PRIMARY KEY (hotkey, digest)
);
CREATE TABLE leases (
	name VARCHAR(64) NOT NULL, 
	holder VARCHAR(255) NOT NULL, 
	expires_at_s FLOAT NOT NULL, 
	CONSTRAINT pk_leases PRIMARY KEY (name)
);
CREATE TABLE rounds (
	position INTEGER NOT NULL, 
	round_id VARCHAR(128) NOT NULL, 
	facts TEXT NOT NULL, 
	CONSTRAINT pk_rounds PRIMARY KEY (position), 
	CONSTRAINT uq_rounds_round_id UNIQUE (round_id)
);
INSERT INTO "rounds" VALUES(1,'1970-01-11','{"batch_audio_s":24.0,"clips":8,"competitions":["DENOISING_16000HZ","DEREVERBERATION_48000HZ"],"exclude_near_copies":false,"floors":{"ESTOI":-1.0,"PESQ_WB":0.0,"SI_SDR":-1.0},"metrics":["PESQ_WB","ESTOI","SI_SDR"],"rewards":{"DENOISING_16000HZ":[10.0,3.0,{"ESTOI":0.4,"PESQ_WB":0.6}],"DEREVERBERATION_48000HZ":[20.0,5.0,{"ESTOI":0.6,"SI_SDR":0.4}]},"round":{"entries_close_block":23,"final_block":7226,"id":"1970-01-11","seed_block":26},"ruleset":"soundsright-v3","ruleset_digest":"9f613784389ffd50dca46805092dbeffa6003b56414bdf8a9622cf90df9ecf7e"}');
CREATE TABLE steps (
	round_id VARCHAR(128) NOT NULL, 
	step VARCHAR(255) NOT NULL, 
	facts TEXT NOT NULL, 
	CONSTRAINT pk_steps PRIMARY KEY (round_id, step), 
	CONSTRAINT fk_steps_round_id FOREIGN KEY(round_id) REFERENCES rounds (round_id) ON DELETE CASCADE
);
INSERT INTO "steps" VALUES('1970-01-11','reveal:good:fc2cf5703bce942e','{"competition":"DENOISING_16000HZ","model":["good","model","c1ddddea615e7bfd967d16f6aa953df9706bd25a"]}');
INSERT INTO "steps" VALUES('1970-01-11','reveal:fair:2899320d90bb67f1','{"competition":"DENOISING_16000HZ","model":["fair","model","588d489eec1e1307a6f33d9da3ab4b658ffb59fc"]}');
INSERT INTO "steps" VALUES('1970-01-11','reveal:crashing:2321bf099a535bc1','{"competition":"DENOISING_16000HZ","model":["crashing","model","9d8f68431b7e1e1f22f938caf313bb9ed4b9b409"]}');
INSERT INTO "steps" VALUES('1970-01-11','reveal:alone:bf0734956fa41b4f','{"competition":"DEREVERBERATION_48000HZ","model":["alone","model","cee3e11c565f9d9d9559b8e5117882de64a8adee"]}');
INSERT INTO "steps" VALUES('1970-01-11','reveal:copy:4c34a6d4bc11772a','{"competition":"DENOISING_16000HZ","model":["copy","model","c1ddddea615e7bfd967d16f6aa953df9706bd25a"]}');
INSERT INTO "steps" VALUES('1970-01-11','reveal:truncating:36fff1167a76a0ce','{"competition":"DEREVERBERATION_48000HZ","model":["truncating","model","12f6f67cf7516b78a42842deb7c51f2bdc8da349"]}');
INSERT INTO "steps" VALUES('1970-01-11','seed','{"block":26,"hash":"0x99146bdda8537bac0db408fdd746d61e80db868ce58420d3ee14176ab4f4fdd0"}');
INSERT INTO "steps" VALUES('1970-01-11','entries','{"neurons":{"0":["owner",1],"1":["validator",2],"2":["good",3],"3":["fair",6],"4":["copy",9],"5":["crashing",12],"6":["truncating",15],"7":["alone",18]},"refusals":[],"submissions":[{"block":5,"competition":"DENOISING_16000HZ","hotkey":"good","model":["good","model","c1ddddea615e7bfd967d16f6aa953df9706bd25a"],"uid":2},{"block":8,"competition":"DENOISING_16000HZ","hotkey":"fair","model":["fair","model","588d489eec1e1307a6f33d9da3ab4b658ffb59fc"],"uid":3},{"block":11,"competition":"DENOISING_16000HZ","hotkey":"copy","model":["copy","model","c1ddddea615e7bfd967d16f6aa953df9706bd25a"],"uid":4},{"block":14,"competition":"DENOISING_16000HZ","hotkey":"crashing","model":["crashing","model","9d8f68431b7e1e1f22f938caf313bb9ed4b9b409"],"uid":5},{"block":17,"competition":"DEREVERBERATION_48000HZ","hotkey":"truncating","model":["truncating","model","12f6f67cf7516b78a42842deb7c51f2bdc8da349"],"uid":6},{"block":20,"competition":"DEREVERBERATION_48000HZ","hotkey":"alone","model":["alone","model","cee3e11c565f9d9d9559b8e5117882de64a8adee"],"uid":7}]}');
INSERT INTO "steps" VALUES('1970-01-11','fetch:2-good','{"checkpoint_hashes":[],"content_hash":"c1ddddea615e7bfd967d16f6aa953df9706bd25a7ff682d8b9ebd021b435ee83"}');
INSERT INTO "steps" VALUES('1970-01-11','fetch:3-fair','{"checkpoint_hashes":[],"content_hash":"588d489eec1e1307a6f33d9da3ab4b658ffb59fc4c61f1b636a05a5e22e9bdd1"}');
INSERT INTO "steps" VALUES('1970-01-11','fetch:4-copy','{"checkpoint_hashes":[],"content_hash":"c1ddddea615e7bfd967d16f6aa953df9706bd25a7ff682d8b9ebd021b435ee83"}');
INSERT INTO "steps" VALUES('1970-01-11','fetch:5-crashing','{"checkpoint_hashes":[],"content_hash":"9d8f68431b7e1e1f22f938caf313bb9ed4b9b409a9afcc196e855de70f021ef2"}');
INSERT INTO "steps" VALUES('1970-01-11','fetch:6-truncating','{"checkpoint_hashes":[],"content_hash":"12f6f67cf7516b78a42842deb7c51f2bdc8da349d46b6306140b79d59ecfdd71"}');
INSERT INTO "steps" VALUES('1970-01-11','fetch:7-alone','{"checkpoint_hashes":[],"content_hash":"cee3e11c565f9d9d9559b8e5117882de64a8adeea315fc42b9cb596757cbf028"}');
INSERT INTO "steps" VALUES('1970-01-11','duplicates','{"same_tensors":[],"since":{"2-good":{"c1ddddea615e7bfd967d16f6aa953df9706bd25a7ff682d8b9ebd021b435ee83":5},"4-copy":{"c1ddddea615e7bfd967d16f6aa953df9706bd25a7ff682d8b9ebd021b435ee83":11}},"tensors":{"2-good":"","3-fair":"","4-copy":"","5-crashing":"","6-truncating":"","7-alone":""},"unread":{}}');
INSERT INTO "steps" VALUES('1970-01-11','set:DENOISING_16000HZ','{"digest":"7609f935657f615a14131b0315a089e53aeb1285d574fdd5aea4ef6446617669","seed":9797383461153982007}');
INSERT INTO "steps" VALUES('1970-01-11','set:DEREVERBERATION_48000HZ','{"digest":"7bb6a9c0d3e99783dc59ff21e541902111964f118e4e1e4fe9bfe4828b0e24fe","seed":3010834589887534214}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:2-good:clip-0000','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":1.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:2-good:clip-0003','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:2-good:clip-0006','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:3-fair:clip-0000','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":1.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:3-fair:clip-0003','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:3-fair:clip-0006','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:5-crashing:clip-0000','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"fault":{"code":"crashed","detail":"The process ended (exit status 139)","log":""},"gpu_utilisation":null,"load_s":1.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:5-crashing:clip-0003','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"fault":{"code":"crashed","detail":"The process ended (exit status 139)","log":""},"gpu_utilisation":null,"load_s":1.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:5-crashing:clip-0006','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:6-truncating:clip-0000','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":1.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:6-truncating:clip-0003','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:6-truncating:clip-0006','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:7-alone:clip-0000','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":1.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:7-alone:clip-0003','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','enhanced:7-alone:clip-0006','{"audio_s":0.0,"build_s":0.0,"enhance_s":0.0,"gpu_utilisation":null,"load_s":0.0,"peak_gpu_memory_bytes":null,"peak_memory_bytes":0,"score_s":0.0}');
INSERT INTO "steps" VALUES('1970-01-11','near_copies','{"near_copies":[]}');
INSERT INTO "steps" VALUES('1970-01-11','flags','{}');
INSERT INTO "steps" VALUES('1970-01-11','decide:DENOISING_16000HZ','{"champions":{"ESTOI":{"block":5,"hotkey":"good","mean":0.6212286207411024,"model":["good","model","c1ddddea615e7bfd967d16f6aa953df9706bd25a"],"since_block":26,"uid":2},"PESQ_WB":{"block":5,"hotkey":"good","mean":2.4849144829644096,"model":["good","model","c1ddddea615e7bfd967d16f6aa953df9706bd25a"],"since_block":26,"uid":2}},"decisions":{"ESTOI":"good takes ESTOI with 0.6212, the best mean; no champion defends.","PESQ_WB":"good takes PESQ-WB with 2.4849, the best mean; no champion defends."},"shares":{"crashing":0.0,"fair":1.5,"good":10.0}}');
INSERT INTO "steps" VALUES('1970-01-11','decide:DEREVERBERATION_48000HZ','{"champions":{"ESTOI":{"block":20,"hotkey":"alone","mean":0.5041180080837674,"model":["alone","model","cee3e11c565f9d9d9559b8e5117882de64a8adee"],"since_block":26,"uid":7},"SI_SDR":{"block":20,"hotkey":"alone","mean":0.5041180080837674,"model":["alone","model","cee3e11c565f9d9d9559b8e5117882de64a8adee"],"since_block":26,"uid":7}},"decisions":{"ESTOI":"alone takes ESTOI with 0.5041, the best mean; no champion defends.","SI_SDR":"alone takes SI-SDR with 0.5041, the best mean; no champion defends."},"shares":{"alone":20.0,"truncating":0.0}}');
INSERT INTO "steps" VALUES('1970-01-11','weights','{"block":null,"by_uid":{"0":0.17105263157894737,"2":0.2631578947368421,"3":0.039473684210526314,"7":0.5263157894736842}}');
INSERT INTO "steps" VALUES('1970-01-11','payees','{"alone":0.5263157894736842,"fair":0.039473684210526314,"good":0.2631578947368421,"owner":0.17105263157894737}');
INSERT INTO "steps" VALUES('1970-01-11','weights_set','{"block":31}');
INSERT INTO "steps" VALUES('1970-01-11','feedback','{"alone":"44004f6cceba858c60b4fc1d6c354ce0444dd6d9b9639c925ddcde7f404b1a26","copy":"e3222ced8a2275c59e438e87f52dc358c58b50547ebb06de339a34722f50c6af","crashing":"3e27dfdab4f59ddfc7fe545a610b3d36f7c6f75f316d88692ba7613a40de7ea1","fair":"b87403c835f23270d8b63da6402577f75c228755d61a262d416efd755c2fa7e7","good":"879c678a9be730f4063cac1b2058d03268eafa31d7527e9e5b2a7b9c95cd2f95","truncating":"6423bc5c53a40164afc2fe3ab1594eccdd397e381614fe3f0f91ed6b30e3968c"}');
INSERT INTO "steps" VALUES('1970-01-11','finished','{"number":0}');
INSERT INTO "steps" VALUES('1970-01-11','delivered:alone','{"ok":true,"tries":1}');
INSERT INTO "steps" VALUES('1970-01-11','delivered:truncating','{"ok":true,"tries":1}');
INSERT INTO "steps" VALUES('1970-01-11','delivered:good','{"ok":true,"tries":1}');
INSERT INTO "steps" VALUES('1970-01-11','delivered:crashing','{"ok":true,"tries":1}');
INSERT INTO "steps" VALUES('1970-01-11','delivered:copy','{"ok":true,"tries":1}');
INSERT INTO "steps" VALUES('1970-01-11','delivered:fair','{"ok":true,"tries":1}');
CREATE INDEX ix_first_seen_block ON first_seen (block);
COMMIT;
